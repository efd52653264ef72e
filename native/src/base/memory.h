// One account of all tensor memory of the engine: current and peak bytes, a limit that turns into
// an error, and reuse of freed blocks (fresh pages cost more than the small ops that fill them).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace keyheads {

struct MemoryInfo {
  int64_t weight_bytes;
  int64_t bytes;
  int64_t peak_bytes;
};

enum class Purpose : uint8_t { weights, work };

// 64-byte aligned, not initialised. Throws OUT_OF_MEMORY, with the figures, beyond the limit.
std::shared_ptr<void> allocate(size_t bytes, Purpose purpose);

// Takes a block off the account: a result, which belongs to the caller from now on. Its memory is
// kept for reuse, like any other, once the last reference is gone.
void hand_over(const std::shared_ptr<void>& block);

MemoryInfo memory_info();

// Limits weights and work together while it lives; 0 is no limit. Engine thread only.
class MemoryLimit {
 public:
  explicit MemoryLimit(int64_t bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  int64_t before_;
};

// Gives blocks kept for reuse back to the system, down to `keep` bytes.
void trim_memory(size_t keep);

}  // namespace keyheads
