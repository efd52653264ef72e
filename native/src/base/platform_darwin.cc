#ifdef __APPLE__
#include <fcntl.h>
#include <sys/mman.h>

#include <numeric>
#include <thread>

#include "base/platform.h"

namespace keyheads {

std::vector<int> usable_cpus() {
  std::vector<int> cpus(std::max(1u, std::thread::hardware_concurrency()));
  std::iota(cpus.begin(), cpus.end(), 0);
  return cpus;
}

void run_on(const std::vector<int>&) {}  // macOS does not let a thread choose its CPU

void advise_huge_pages(void*, size_t) {}  // the system decides

// MADV_DONTNEED keeps the contents there: new pages in their place.
void forget_pages(void* memory, size_t bytes) {
  mmap(memory, bytes, PROT_READ | PROT_WRITE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void advise_sequential(FileHandle file) { fcntl(static_cast<int>(file), F_RDAHEAD, 1); }

void advise_needed(FileHandle file, int64_t offset, int64_t count) {
  radvisory range{offset, static_cast<int>(count < INT32_MAX ? count : INT32_MAX)};
  fcntl(static_cast<int>(file), F_RDADVISE, &range);
}

}  // namespace keyheads
#endif
