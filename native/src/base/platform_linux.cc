#ifdef __linux__
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include "base/platform.h"

namespace keyheads {

std::vector<int> usable_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);  // more than CPU_SETSIZE CPUs: run on one, unpinned
  return cpus;
}

void run_on(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void advise_huge_pages(void* memory, size_t bytes) { madvise(memory, bytes, MADV_HUGEPAGE); }

void forget_pages(void* memory, size_t bytes) { madvise(memory, bytes, MADV_DONTNEED); }

void advise_sequential(FileHandle file) {
  posix_fadvise(static_cast<int>(file), 0, 0, POSIX_FADV_SEQUENTIAL);
}

void advise_needed(FileHandle file, int64_t offset, int64_t count) {
  posix_fadvise(static_cast<int>(file), offset, count, POSIX_FADV_WILLNEED);
}

}  // namespace keyheads
#endif
