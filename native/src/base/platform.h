// What operating systems do differently. One source for each: platform_linux.cc and so on, with
// what Linux and macOS share in platform_posix.cc. No other source asks the system directly.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
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

// Aligned to a power of two of at least a pointer's size, not initialised; nullptr where the system
// has no more. To be freed by free_aligned.
void* allocate_aligned(size_t alignment, size_t bytes);
void free_aligned(void* memory);

// Asks for large pages behind memory that is about to be filled.
void advise_huge_pages(void* memory, size_t bytes);

// Addresses that read as zeros and can be written, of which only the written ones take memory;
// nullptr where the system has not so many. They are never given back.
void* reserve_pages(size_t bytes);

// Gives the memory of reserved pages back; they read as zeros afterwards.
void forget_pages(void* memory, size_t bytes);

// what() is the system's own reason, in UTF-8.
struct SystemError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A file that is read at any place, from any thread. The path is UTF-8. Throws SystemError.
using FileHandle = intptr_t;
struct FileState {
  int64_t size;
  int64_t written;  // when for the last time, in units of the system
  bool operator==(const FileState&) const = default;
};
FileHandle open_file(const std::string& path, FileState& state);
FileState state_of(FileHandle file);
void close_file(FileHandle file);

// Bytes that were read, at most `count`; 0 at the end of the file. Throws SystemError.
int64_t read_at(FileHandle file, int64_t offset, int64_t count, void* to);

// `count` bytes of the file (0: to its end) will be read, soon or one after the other.
void advise_sequential(FileHandle file);
void advise_needed(FileHandle file, int64_t offset, int64_t count);

// The file that this code is in stays loaded until the process ends, whoever unloads it: its
// threads would run into nothing.
void stay_loaded();

// A shared library, opened for good; null and the system's reason where that fails.
void* open_library(const std::string& path, std::string& why);
// Null where the library has none.
void* find_symbol(void* library, const char* name);

}  // namespace keyheads
