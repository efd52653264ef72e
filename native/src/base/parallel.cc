#include "base/parallel.h"

#include <memory>
#include <mutex>
#include <set>

#include "base/context.h"
#include "base/memory.h"
#include "base/pool.h"

namespace keyheads {
namespace {

class Scratch;

// Never destroyed: threads may end after static destruction.
struct Registry {
  std::mutex mutex;
  std::set<Scratch*> all;
};
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

class Scratch {
 public:
  Scratch() {
    std::lock_guard lock(registry().mutex);
    registry().all.insert(this);
  }
  ~Scratch() {
    std::lock_guard lock(registry().mutex);
    registry().all.erase(this);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* get(size_t bytes) {
    if (bytes > size_ || !memory_) {
      release();
      const MemoryFrom host(host_memory());
      memory_ = allocate(bytes, Purpose::scratch);
      size_ = bytes;
    }
    return memory_.get();
  }
  void release() {
    memory_.reset();
    size_ = 0;
  }

 private:
  std::shared_ptr<void> memory_;
  size_t size_ = 0;
};

}  // namespace

ScratchUse::~ScratchUse() {
  std::lock_guard lock(registry().mutex);
  for (Scratch* scratch : registry().all) scratch->release();
}

void parallel_chunks(Context& ctx, int64_t count, void (*fn)(void* data, int64_t i), void* data) {
  ctx.pool->run(count, fn, data);
}

int thread_count(const Context& ctx) { return ctx.pool->threads(); }

void* thread_scratch(size_t bytes) {
  thread_local Scratch scratch;
  return scratch.get(bytes);
}

void* op_scratch(size_t bytes) {
  thread_local Scratch scratch;
  return scratch.get(bytes);
}

}  // namespace keyheads
