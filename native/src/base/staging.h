// Pinned memory through which pieces of files reach a device: while one buffer is being copied, the
// other is filled. Engine thread only.
#pragma once
#include <memory>

#include "base/device.h"

namespace keyheads {

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

}  // namespace keyheads
