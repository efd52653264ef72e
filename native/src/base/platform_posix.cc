#ifndef _WIN32
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/platform.h"

namespace keyheads {

void* allocate_aligned(size_t alignment, size_t bytes) {
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void free_aligned(void* memory) { std::free(memory); }

void* reserve_pages(size_t bytes) {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return block == MAP_FAILED ? nullptr : block;
}

FileState state_of(FileHandle file) {
  struct stat status {};
  if (fstat(static_cast<int>(file), &status) != 0) throw SystemError(std::strerror(errno));
#ifdef __APPLE__
  const timespec& time = status.st_mtimespec;
#else
  const timespec& time = status.st_mtim;
#endif
  return {status.st_size, int64_t{time.tv_sec} * 1000000000 + time.tv_nsec};
}

FileHandle open_file(const std::string& path, FileState& state) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw SystemError(std::strerror(errno));
  try {
    state = state_of(file);
  } catch (...) {
    close(file);
    throw;
  }
  return file;
}

void close_file(FileHandle file) { close(static_cast<int>(file)); }

int64_t read_at(FileHandle file, int64_t offset, int64_t count, void* to) {
  for (;;) {
    const ssize_t got = pread(static_cast<int>(file), to, static_cast<size_t>(count), offset);
    if (got >= 0) return got;
    if (errno != EINTR) throw SystemError(std::strerror(errno));
  }
}

void* open_library(const std::string& path, std::string& why) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) why = dlerror();
  return library;
}

void* find_symbol(void* library, const char* name) { return dlsym(library, name); }

// Linux: by the link (-z nodelete). macOS unloads nothing that has thread-local variables.
void stay_loaded() {}

}  // namespace keyheads
#endif
