// Pinned memory between the host and a device, in two buffers each way. Engine thread only.
#pragma once
#include <memory>
#include <vector>

#include "base/device.h"

namespace keyheads {

// Through which pieces of files reach a device: while one buffer is being copied, the other is
// filled.
class Staging {
 public:
  // What is worth a copy of its own.
  static constexpr int64_t kPiece = 16 << 20;

  explicit Staging(Device& device, int64_t piece = kPiece) : device_(device), piece_(piece) {}
  // Waits for the copies and gives the memory back to the system.
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  int64_t piece() const { return piece_; }

  // fill(memory) writes at most `bytes` of it, send(memory) queues what reads them. Returns before
  // the device has read them.
  template <class Fill, class Send>
  void pass(int64_t bytes, const Fill& fill, const Send& send) {
    Buffer& buffer = next(bytes);
    fill(static_cast<char*>(buffer.memory.get()));
    send(static_cast<const char*>(buffer.memory.get()));
    buffer.mark = device_.mark();
  }

 private:
  struct Buffer {
    std::shared_ptr<void> memory;
    int64_t bytes = 0;
    void* mark = nullptr;  // where its copies end; null: they have
  };

  // The buffer used longest ago, which is free then.
  Buffer& next(int64_t bytes);
  void finish(Buffer& buffer);

  Device& device_;
  int64_t piece_;
  Buffer buffers_[2];
  int turn_ = 0;
};

// What was computed on its way to the host: the device goes on while it is copied, and the host
// waits for a buffer when both are full, and in the end.
class Collection {
 public:
  static constexpr int64_t kSmall = 256 << 10, kLarge = 4 << 20;  // of a buffer

  // For so many bytes a buffer is large enough, and not much larger.
  static int64_t buffer_for(int64_t total) { return total <= kSmall ? kSmall : kLarge; }

  Collection(Device& device, int64_t buffer) : device_(device), size_(buffer) {}
  ~Collection();
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;

  // What lies there when all that was queued before has run. `host` has it after `finish`.
  void add(void* host, const void* from, int64_t bytes);
  void finish();

 private:
  struct Part {
    char* host;
    int64_t at, bytes;
  };
  struct Buffer {
    std::shared_ptr<void> memory;
    int64_t used = 0;
    std::vector<Part> parts;
    void* mark = nullptr;  // where its copies end; null: not all are queued, or it is empty
  };

  char* memory(Buffer& buffer) { return static_cast<char*>(buffer.memory.get()); }
  void close(Buffer& buffer);
  void empty(Buffer& buffer);

  Device& device_;
  int64_t size_;
  Buffer buffers_[2];
  int turn_ = 0;
};

}  // namespace keyheads
