// What operating systems do differently. One source for each: platform_linux.cc and so on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace keyheads {

// In a loop that waits for another thread.
inline void relax() {
#ifdef __aarch64__
  asm volatile("yield");
#else
  __builtin_ia32_pause();
#endif
}

// CPUs that this thread may use; never empty.
std::vector<int> usable_cpus();

// Restricts this thread to `cpus`. A refusal costs speed only.
void run_on(const std::vector<int>& cpus);

// Asks for large pages behind memory that is about to be filled.
void advise_huge_pages(void* memory, size_t bytes);

// Gives the pages of private memory back; they read as zeros afterwards.
void forget_pages(void* memory, size_t bytes);

// `count` bytes of the file (0: to its end) will be read, soon or one after the other.
void advise_sequential(int file);
void advise_needed(int file, int64_t offset, int64_t count);

}  // namespace keyheads
