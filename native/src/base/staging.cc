#include "base/staging.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keyheads {

void Staging::finish(Buffer& buffer) {
  if (buffer.mark) device_.wait(std::exchange(buffer.mark, nullptr));
}

Staging::Buffer& Staging::next(int64_t bytes) {
  Buffer& buffer = buffers_[turn_ ^= 1];
  finish(buffer);
  if (buffer.bytes < bytes) {
    const MemoryFrom pinned(device_.pinned());
    buffer = {};
    buffer.memory = allocate(static_cast<size_t>(std::max(bytes, piece_)), Purpose::scratch);
    buffer.bytes = std::max(bytes, piece_);
  }
  return buffer;
}

Staging::~Staging() {
  try {
    // of a pass that ended early, too
    device_.synchronize();
    for (Buffer& buffer : buffers_) finish(buffer);
  } catch (const Error&) {
    // the device has failed for good, and reads nothing any more
  }
  for (Buffer& buffer : buffers_) buffer = {};
  trim_memory(0, device_.pinned());
}

}  // namespace keyheads
