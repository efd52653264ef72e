#include "base/staging.h"

#include <algorithm>
#include <cstring>
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

void Collection::add(void* host, const void* from, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    Buffer* buffer = &buffers_[turn_];
    if (buffer->used == size_) {
      close(*buffer);
      buffer = &buffers_[turn_ ^= 1];
      empty(*buffer);
    }
    if (!buffer->memory) {
      const MemoryFrom pinned(device_.pinned());
      buffer->memory = allocate(static_cast<size_t>(size_), Purpose::scratch);
    }
    const int64_t part = std::min(bytes - done, size_ - buffer->used);
    device_.collect(memory(*buffer) + buffer->used, static_cast<const char*>(from) + done,
                    static_cast<size_t>(part));
    buffer->parts.push_back({static_cast<char*>(host) + done, buffer->used, part});
    buffer->used += part;
    done += part;
  }
}

void Collection::close(Buffer& buffer) {
  if (!buffer.mark && buffer.used > 0) buffer.mark = device_.mark();
}

void Collection::empty(Buffer& buffer) {
  if (buffer.mark) device_.wait(std::exchange(buffer.mark, nullptr));
  for (const Part& part : buffer.parts) {
    std::memcpy(part.host, memory(buffer) + part.at, static_cast<size_t>(part.bytes));
  }
  buffer.parts.clear();
  buffer.used = 0;
}

void Collection::finish() {
  close(buffers_[turn_]);
  empty(buffers_[turn_ ^ 1]);
  empty(buffers_[turn_]);
}

Collection::~Collection() {
  try {
    // of one that ended early: its memory is somebody else's next
    if (buffers_[0].used + buffers_[1].used > 0) device_.synchronize();
    for (Buffer& buffer : buffers_) {
      if (buffer.mark) device_.wait(buffer.mark);
    }
  } catch (const Error&) {
    // the device has failed for good, and writes nothing any more
  }
}

}  // namespace keyheads
