#include "base/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.h"

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
  const size_t padded = (bytes + alignment - 1) / alignment * alignment;
  void* block = std::aligned_alloc(alignment, padded);
  if (block && alignment == kHugePage) madvise(block, padded, MADV_HUGEPAGE);
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
      std::free(p);
      return;
    }
    owner.info.bytes -= bytes;
    owner.free[size].push_back(p);
    owner.kept += size;
  }
};

void trim_locked(Account& a, size_t keep) {
  while (a.kept > keep && !a.free.empty()) {
    auto largest = std::prev(a.free.end());
    std::free(largest->second.back());
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
  void* block = nullptr;
  {
    std::lock_guard lock(a.mutex);
    const int64_t total = a.info.weight_bytes + a.info.bytes + signed_size;
    if (a.limit > 0 && total > a.limit) {
      fail("OUT_OF_MEMORY", "memory budget of ", a.limit,
           " bytes is not enough: ", a.info.weight_bytes, " bytes of weights and ", a.info.bytes,
           " bytes in use, ", size,
           " more needed; use smaller batches or a larger --memory-budget");
    }
    if (purpose == Purpose::work) {
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
    (purpose == Purpose::weights ? a.info.weight_bytes : a.info.bytes) += signed_size;
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

MemoryLimit::MemoryLimit(int64_t bytes) {
  std::lock_guard lock(account().mutex);
  before_ = account().limit;
  account().limit = bytes;
}

MemoryLimit::~MemoryLimit() {
  std::lock_guard lock(account().mutex);
  account().limit = before_;
}

void trim_memory(size_t keep) {
  std::lock_guard lock(account().mutex);
  trim_locked(account(), keep);
}

}  // namespace keyheads
