#include "base/memory.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/platform.h"

namespace keyheads {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

struct Account {
  std::mutex mutex;
  MemoryInfo info{};
  int64_t limit = 0;
  size_t kept = 0;
  std::map<size_t, std::vector<void*>> free;
};

// Never destroyed: the engine thread may outlive static destruction.
Account& account() {
  static auto* instance = new Account;
  return *instance;
}

// Eight sizes between powers of two, so that blocks of similar tensors fit each other.
size_t rounded(size_t bytes) {
  size_t step = 64;
  while (step * 8 < bytes) step *= 2;
  return std::max<size_t>((bytes + step - 1) / step * step, 64);
}

void* from_system(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  void* block = allocate_aligned(alignment, bytes);
  // the rest of the last huge page would be memory that nobody uses
  if (block && alignment == kHugePage) {
    advise_huge_pages(block, bytes / kHugePage * kHugePage);
  }
  return block;
}

// Deleter of a block.
struct Release {
  size_t size;
  Purpose purpose;
  bool counted = true;

  void operator()(void* p) const {
    Account& owner = account();
    std::lock_guard lock(owner.mutex);
    const int64_t bytes = counted ? static_cast<int64_t>(size) : 0;
    if (purpose == Purpose::weights) {
      owner.info.weight_bytes -= bytes;
      free_aligned(p);
      return;
    }
    (purpose == Purpose::work ? owner.info.bytes : owner.info.scratch_bytes) -= bytes;
    owner.free[size].push_back(p);
    owner.kept += size;
  }
};

thread_local MemoryPlan* current_plan = nullptr;

// Addresses for the blocks of plans, without memory behind them until somebody writes there.
struct Reserved {
  void* base = nullptr;
  int64_t bytes = 0;

  Reserved() {
    for (int64_t wanted = int64_t{1} << 40; !base && wanted >= int64_t{1} << 30; wanted /= 2) {
      base = reserve_pages(static_cast<size_t>(wanted));
      if (base) bytes = wanted;
    }
  }
};
const Reserved& reserved() {
  static const auto* instance = new Reserved;
  return *instance;
}

void trim_locked(Account& a, size_t keep) {
  while (a.kept > keep && !a.free.empty()) {
    auto largest = std::prev(a.free.end());
    free_aligned(largest->second.back());
    a.kept -= largest->first;
    largest->second.pop_back();
    if (largest->second.empty()) a.free.erase(largest);
  }
}

}  // namespace

std::shared_ptr<void> allocate(size_t bytes, Purpose purpose) {
  Account& a = account();
  const size_t size = purpose == Purpose::weights ? (bytes + 63) / 64 * 64 + 64 : rounded(bytes);
  const auto signed_size = static_cast<int64_t>(size);
  if (current_plan) return current_plan->reserve(signed_size, purpose);
  void* block = nullptr;
  {
    std::lock_guard lock(a.mutex);
    const int64_t total = a.info.weight_bytes + a.info.bytes + a.info.scratch_bytes + signed_size;
    if (a.limit > 0 && total > a.limit) {
      fail("OUT_OF_MEMORY", "memory budget of ", a.limit,
           " bytes is not enough: ", a.info.weight_bytes, " bytes of weights, ", a.info.bytes,
           " bytes in use and ", a.info.scratch_bytes, " bytes of kernels' scratch, ", size,
           " more needed; use smaller batches or a larger --memory-budget");
    }
    if (purpose != Purpose::weights) {
      auto found = a.free.find(size);
      if (found != a.free.end()) {
        block = found->second.back();
        found->second.pop_back();
        a.kept -= size;
        if (found->second.empty()) a.free.erase(found);
      }
    }
  }
  if (!block) block = from_system(size);
  if (!block) fail("OUT_OF_MEMORY", "the system has no ", size, " bytes left");
  {
    std::lock_guard lock(a.mutex);
    (purpose == Purpose::weights ? a.info.weight_bytes
     : purpose == Purpose::work  ? a.info.bytes
                                 : a.info.scratch_bytes) += signed_size;
    a.info.peak_bytes = std::max(a.info.peak_bytes, a.info.weight_bytes + a.info.bytes);
  }
  return {block, Release{size, purpose}};
}

void hand_over(const std::shared_ptr<void>& block) {
  auto* release = std::get_deleter<Release>(block);
  if (!release) return;
  std::lock_guard lock(account().mutex);
  if (release->counted) account().info.bytes -= static_cast<int64_t>(release->size);
  release->counted = false;
}

MemoryInfo memory_info() {
  std::lock_guard lock(account().mutex);
  return account().info;
}

void reset_peak() {
  std::lock_guard lock(account().mutex);
  MemoryInfo& info = account().info;
  info.peak_bytes = info.weight_bytes + info.bytes;
}

MemoryLimit::MemoryLimit(int64_t bytes) {
  std::lock_guard lock(account().mutex);
  before_ = account().limit;
  account().limit = bytes;
}

MemoryLimit::~MemoryLimit() {
  std::lock_guard lock(account().mutex);
  account().limit = before_;
}

MemoryPlan::MemoryPlan() : outer_(current_plan) { current_plan = this; }

MemoryPlan::~MemoryPlan() {
  current_plan = outer_;
  *alive_ = false;
  if (!outer_ && reserved().base) {
    forget_pages(reserved().base, static_cast<size_t>(reserved().bytes));
  }
}

void MemoryPlan::add(int64_t bytes, Purpose purpose) {
  (purpose == Purpose::weights ? weights_ : work_) += bytes;
  peak_ = std::max(peak_, weights_ + work_);
}

bool MemoryPlan::active() { return current_plan != nullptr; }

void MemoryPlan::count(int64_t bytes) {
  if (current_plan) current_plan->add(bytes, Purpose::work);
}

std::shared_ptr<void> MemoryPlan::reserve(int64_t bytes, Purpose purpose) {
  if (bytes > reserved().bytes) {
    fail("OUT_OF_MEMORY", "no ", bytes, " bytes of addresses for one block of this run");
  }
  add(bytes, purpose);
  return {reserved().base, [this, alive = alive_, bytes, purpose](void*) {
            if (*alive) (purpose == Purpose::weights ? weights_ : work_) -= bytes;
          }};
}

void trim_memory(size_t keep) {
  std::lock_guard lock(account().mutex);
  trim_locked(account(), keep);
}

}  // namespace keyheads
