#include "base/memory.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/platform.h"

namespace keyheads {

struct MemorySource::Account {
  std::mutex mutex;
  MemoryInfo info{};
  int64_t limit = 0;
  size_t kept = 0;
  std::map<size_t, std::vector<void*>> free;
};

MemorySource::MemorySource() : account(std::make_unique<Account>()) {}
MemorySource::~MemorySource() = default;

namespace {

using Account = MemorySource::Account;

constexpr size_t kHugePage = size_t{2} << 20;

// Eight sizes between powers of two, so that blocks of similar tensors fit each other.
size_t rounded(size_t bytes) {
  size_t step = 64;
  while (step * 8 < bytes) step *= 2;
  return std::max<size_t>((bytes + step - 1) / step * step, 64);
}

class HostMemory : public MemorySource {
 public:
  void* take(size_t bytes) override {
    const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
    void* block = allocate_aligned(alignment, bytes);
    // the rest of the last huge page would be memory that nobody uses
    if (block && alignment == kHugePage) {
      advise_huge_pages(block, bytes / kHugePage * kHugePage);
    }
    return block;
  }
  void give_back(void* block) override { free_aligned(block); }
  const char* name() const override { return "the system"; }
};

// Deleter of a block.
struct Release {
  MemorySource* source;
  size_t size;
  Purpose purpose;
  bool counted = true;

  void operator()(void* p) const {
    Account& owner = *source->account;
    std::lock_guard lock(owner.mutex);
    const int64_t bytes = counted ? static_cast<int64_t>(size) : 0;
    if (purpose == Purpose::weights) {
      owner.info.weight_bytes -= bytes;
      source->give_back(p);
      return;
    }
    (purpose == Purpose::work ? owner.info.bytes : owner.info.scratch_bytes) -= bytes;
    owner.free[size].push_back(p);
    owner.kept += size;
  }
};

thread_local MemorySource* current_source = nullptr;
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

void trim_locked(MemorySource& source, size_t keep) {
  Account& a = *source.account;
  while (a.kept > keep && !a.free.empty()) {
    auto largest = std::prev(a.free.end());
    source.give_back(largest->second.back());
    a.kept -= largest->first;
    largest->second.pop_back();
    if (largest->second.empty()) a.free.erase(largest);
  }
}

// A block of this size that was kept; null where there is none, or the limit forbids.
void* reuse(Account& a, const MemorySource& source, size_t size, Purpose purpose) {
  std::lock_guard lock(a.mutex);
  const int64_t total =
      a.info.weight_bytes + a.info.bytes + a.info.scratch_bytes + static_cast<int64_t>(size);
  if (a.limit > 0 && total > a.limit) {
    fail("OUT_OF_MEMORY", "memory budget of ", a.limit, " bytes of ", source.name(),
         " is not enough: ", a.info.weight_bytes, " bytes of weights, ", a.info.bytes,
         " bytes in use and ", a.info.scratch_bytes, " bytes of kernels' scratch, ", size,
         " more needed; use smaller batches or a larger --memory-budget");
  }
  const auto found = a.free.find(size);
  if (purpose == Purpose::weights || found == a.free.end()) return nullptr;
  void* block = found->second.back();
  found->second.pop_back();
  a.kept -= size;
  if (found->second.empty()) a.free.erase(found);
  return block;
}

// Where there is none left, what is kept for reuse makes room.
void* take_anew(MemorySource& source, size_t size) {
  void* block = source.take(size);
  if (block) return block;
  trim_memory(0, source);
  return source.take(size);
}

}  // namespace

MemorySource& host_memory() {
  static auto* instance = new HostMemory;
  return *instance;
}

MemoryFrom::MemoryFrom(MemorySource& source) : before_(current_source) { current_source = &source; }
MemoryFrom::~MemoryFrom() { current_source = before_; }
MemorySource& MemoryFrom::current() { return current_source ? *current_source : host_memory(); }

std::shared_ptr<void> allocate(size_t bytes, Purpose purpose) {
  MemorySource& source = MemoryFrom::current();
  const size_t size = purpose == Purpose::weights ? (bytes + 63) / 64 * 64 + 64 : rounded(bytes);
  const auto signed_size = static_cast<int64_t>(size);
  if (current_plan) return current_plan->reserve(signed_size, purpose);
  Account& a = *source.account;
  void* block = reuse(a, source, size, purpose);
  if (!block) block = take_anew(source, size);
  if (!block) {
    fail("OUT_OF_MEMORY", source.name(), " has no ", size,
         " bytes left; use smaller batches, fewer captures or --dtype bf16");
  }
  {
    std::lock_guard lock(a.mutex);
    (purpose == Purpose::weights ? a.info.weight_bytes
     : purpose == Purpose::work  ? a.info.bytes
                                 : a.info.scratch_bytes) += signed_size;
    a.info.peak_bytes = std::max(a.info.peak_bytes, a.info.weight_bytes + a.info.bytes);
  }
  return {block, Release{&source, size, purpose}};
}

void hand_over(const std::shared_ptr<void>& block) {
  auto* release = std::get_deleter<Release>(block);
  if (!release) return;
  Account& owner = *release->source->account;
  std::lock_guard lock(owner.mutex);
  if (release->counted) owner.info.bytes -= static_cast<int64_t>(release->size);
  release->counted = false;
}

MemoryInfo memory_info(const MemorySource& source) {
  std::lock_guard lock(source.account->mutex);
  return source.account->info;
}

void reset_peak(const MemorySource& source) {
  std::lock_guard lock(source.account->mutex);
  MemoryInfo& info = source.account->info;
  info.peak_bytes = info.weight_bytes + info.bytes;
}

MemoryLimit::MemoryLimit(int64_t bytes) : source_(MemoryFrom::current()) {
  std::lock_guard lock(source_.account->mutex);
  before_ = source_.account->limit;
  source_.account->limit = bytes;
}

MemoryLimit::~MemoryLimit() {
  std::lock_guard lock(source_.account->mutex);
  source_.account->limit = before_;
}

MemoryPlan::MemoryPlan() : outer_(current_plan), source_(MemoryFrom::current()) {
  current_plan = this;
}

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
  if (&MemoryFrom::current() != &source_) return {reserved().base, [](void*) {}};
  add(bytes, purpose);
  return {reserved().base, [this, alive = alive_, bytes, purpose](void*) {
            if (*alive) (purpose == Purpose::weights ? weights_ : work_) -= bytes;
          }};
}

void trim_memory(size_t keep, MemorySource& source) {
  std::lock_guard lock(source.account->mutex);
  trim_locked(source, keep);
}

}  // namespace keyheads
