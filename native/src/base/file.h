#pragma once
#include <cstdint>
#include <string>

#include "base/platform.h"

namespace keyheads {

// A file that is read piece by piece, from any thread. It is read, not mapped: one that shrinks
// meanwhile, or lies on a disk that fails, is an error and not a signal. All errors are
// BAD_CHECKPOINT and name the file.
class File {
 public:
  explicit File(std::string path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Throws if the file ends before `offset + count`.
  void check_range(int64_t offset, int64_t count) const;
  // Asks the system to fetch a range ahead of its reading.
  void fetch(int64_t offset, int64_t count) const;
  void read(int64_t offset, int64_t count, void* to) const;
  // Throws if the file has been written to since it was opened: what was read may be of both.
  void check_unchanged() const;

 private:
  [[noreturn]] void too_short(int64_t offset, int64_t count, int64_t found) const;

  std::string path_;
  FileHandle file_;
  FileState state_;
};

}  // namespace keyheads
