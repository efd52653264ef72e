#include "base/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/check.h"

namespace keyheads {

std::vector<char> read_bytes(const std::string& path, int64_t offset, int64_t count) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) fail("BAD_CHECKPOINT", path, ": ", std::strerror(errno));
  std::vector<char> bytes(static_cast<size_t>(count));
  const bool reached = fseeko(file.get(), offset, SEEK_SET) == 0;
  const size_t got = reached ? std::fread(bytes.data(), 1, bytes.size(), file.get()) : 0;
  if (got != bytes.size()) {
    fail("BAD_CHECKPOINT", path, ": ", count, " bytes wanted at ", offset, ", ", got,
         " found; the file is truncated");
  }
  return bytes;
}

}  // namespace keyheads
