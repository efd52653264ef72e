#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/platform.h"

namespace keyheads {

File::File(std::string path) : path_(std::move(path)) {
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) {
    const int error = errno;
    if (descriptor_ >= 0) close(descriptor_);
    fail("BAD_CHECKPOINT", path_, ": ", std::strerror(error));
  }
  size_ = status.st_size;
  advise_sequential(descriptor_);
}

File::~File() { close(descriptor_); }

void File::too_short(int64_t offset, int64_t count, int64_t found) const {
  fail("BAD_CHECKPOINT", path_, ": ", count, " bytes wanted at ", offset, ", ", found,
       " found; the file is truncated");
}

void File::check_range(int64_t offset, int64_t count) const {
  if (offset < 0 || count < 0 || offset > size_ || count > size_ - offset) {
    too_short(offset, count, std::clamp<int64_t>(size_ - offset, 0, std::max<int64_t>(count, 0)));
  }
}

void File::fetch(int64_t offset, int64_t count) const { advise_needed(descriptor_, offset, count); }

void File::read(int64_t offset, int64_t count, void* to) const {
  int64_t done = 0;
  while (done < count) {
    const ssize_t got = pread(descriptor_, static_cast<char*>(to) + done,
                              static_cast<size_t>(count - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("BAD_CHECKPOINT", path_, ": ", std::strerror(errno));
    if (got == 0) too_short(offset, count, done);
    done += got;
  }
}

}  // namespace keyheads
