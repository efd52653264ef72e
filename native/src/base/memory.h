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
  int64_t peak_bytes;     // of both together
  int64_t scratch_bytes;  // what kernels hold while they run; a limit counts it, the peak does not
};

enum class Purpose : uint8_t { weights, work, scratch };

// 64-byte aligned, not initialised. Throws OUT_OF_MEMORY, with the figures, beyond the limit.
std::shared_ptr<void> allocate(size_t bytes, Purpose purpose);

// Takes a block off the account: a result, which belongs to the caller from now on. Its memory is
// kept for reuse, like any other, once the last reference is gone.
void hand_over(const std::shared_ptr<void>& block);

MemoryInfo memory_info();

// The peak begins anew with what is in use now.
void reset_peak();

// Limits weights, work and scratch together while it lives; 0 is no limit. Engine thread only.
class MemoryLimit {
 public:
  explicit MemoryLimit(int64_t bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  int64_t before_;
};

// Counts instead of allocating, on the thread that made it and while it lives: what a run needs is
// then found by its own code, with Context::planning. Blocks overlap each other: what is in them
// means nothing, and writing to them needs no more memory than the largest.
class MemoryPlan {
 public:
  MemoryPlan();
  ~MemoryPlan();
  MemoryPlan(const MemoryPlan&) = delete;
  MemoryPlan& operator=(const MemoryPlan&) = delete;

  // Counted at this moment, and at most at any.
  int64_t weight_bytes() const { return weights_; }
  int64_t bytes() const { return work_; }
  int64_t peak_bytes() const { return peak_; }

  // Whether this thread counts: then there is nothing to fill.
  static bool active();

  // Memory that does not come from `allocate`; it stays until the end.
  static void count(int64_t bytes);

 private:
  friend std::shared_ptr<void> allocate(size_t bytes, Purpose purpose);
  std::shared_ptr<void> reserve(int64_t bytes, Purpose purpose);
  void add(int64_t bytes, Purpose purpose);

  int64_t weights_ = 0, work_ = 0, peak_ = 0;
  MemoryPlan* outer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Gives blocks kept for reuse back to the system, down to `keep` bytes.
void trim_memory(size_t keep);

}  // namespace keyheads
