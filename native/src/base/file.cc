#include "base/file.h"

#include <algorithm>

#include "base/check.h"

namespace keyheads {
namespace {

// The system's reason, with the name of the file.
template <class Call>
auto naming(const std::string& path, const Call& call) {
  try {
    return call();
  } catch (const SystemError& error) {
    fail("BAD_CHECKPOINT", path, ": ", error.what());
  }
}

}  // namespace

File::File(std::string path) : path_(std::move(path)) {
  file_ = naming(path_, [&] { return open_file(path_, state_); });
  advise_sequential(file_);
}

File::~File() { close_file(file_); }

void File::too_short(int64_t offset, int64_t count, int64_t found) const {
  fail("BAD_CHECKPOINT", path_, ": ", count, " bytes wanted at ", offset, ", ", found,
       " found; the file is truncated");
}

void File::check_range(int64_t offset, int64_t count) const {
  if (offset < 0 || count < 0 || offset > state_.size || count > state_.size - offset) {
    too_short(offset, count,
              std::clamp<int64_t>(state_.size - offset, 0, std::max<int64_t>(count, 0)));
  }
}

void File::fetch(int64_t offset, int64_t count) const { advise_needed(file_, offset, count); }

void File::read(int64_t offset, int64_t count, void* to) const {
  for (int64_t done = 0; done < count;) {
    const int64_t got = naming(path_, [&] {
      return read_at(file_, offset + done, count - done, static_cast<char*>(to) + done);
    });
    if (got == 0) too_short(offset, count, done);
    done += got;
  }
}

void File::check_unchanged() const {
  const FileState now = naming(path_, [&] { return state_of(file_); });
  if (now == state_) return;
  fail("BAD_CHECKPOINT", path_, " was written to after the model was opened; load the model again");
}

}  // namespace keyheads
