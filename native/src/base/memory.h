// Tensor memory of the engine, of the host and of devices, with an account for each: current and
// peak bytes, a limit that turns into an error, and reuse of freed blocks (fresh pages cost more
// than the small ops that fill them).
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

// Where blocks come from, with its account. Lives as long as the process.
class MemorySource {
 public:
  MemorySource();
  virtual ~MemorySource();
  MemorySource(const MemorySource&) = delete;
  MemorySource& operator=(const MemorySource&) = delete;

  virtual void* take(size_t bytes) = 0;  // null where there is none left
  virtual void give_back(void* block) = 0;
  virtual const char* name() const = 0;  // in messages

  struct Account;
  const std::unique_ptr<Account> account;
};

MemorySource& host_memory();

// `allocate` takes from this source, on the thread that made it and while it lives.
class MemoryFrom {
 public:
  explicit MemoryFrom(MemorySource& source);
  ~MemoryFrom();
  MemoryFrom(const MemoryFrom&) = delete;
  MemoryFrom& operator=(const MemoryFrom&) = delete;

  // The host's, where nobody said otherwise.
  static MemorySource& current();

 private:
  MemorySource* before_;
};

// At least 64-byte aligned, not initialised. Throws OUT_OF_MEMORY, with the figures, beyond the
// limit.
std::shared_ptr<void> allocate(size_t bytes, Purpose purpose);

// Takes a block off the account: a result, which belongs to the caller from now on. Its memory is
// kept for reuse, like any other, once the last reference is gone.
void hand_over(const std::shared_ptr<void>& block);

MemoryInfo memory_info(const MemorySource& source = host_memory());

// The peak begins anew with what is in use now.
void reset_peak(const MemorySource& source = host_memory());

// Limits weights, work and scratch of the current source together while it lives; 0 is no limit.
// Engine thread only.
class MemoryLimit {
 public:
  explicit MemoryLimit(int64_t bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  MemorySource& source_;
  int64_t before_;
};

// Counts instead of allocating, on the thread that made it and while it lives: what a run needs is
// then found by its own code, with Context::planning. Blocks overlap each other: what is in them
// means nothing, and writing to them needs no more memory than the largest. Only the source that
// was current when it was made is counted.
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
  const MemorySource& source_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Gives blocks kept for reuse back to where they came from, down to `keep` bytes.
void trim_memory(size_t keep, MemorySource& source = host_memory());

}  // namespace keyheads
