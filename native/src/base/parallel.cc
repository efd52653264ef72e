#include "base/parallel.h"

#include <cstdlib>
#include <memory>
#include <new>

#include "base/context.h"
#include "base/pool.h"

namespace keyheads {
namespace {

class Scratch {
 public:
  void* get(size_t bytes) {
    if (bytes > size_) {
      memory_.reset();
      size_ = 0;
      const size_t rounded = (bytes + bytes / 4 + 4095) / 4096 * 4096;
      memory_.reset(std::aligned_alloc(64, rounded));
      if (!memory_) throw std::bad_alloc();
      size_ = rounded;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t size_ = 0;
};

}  // namespace

void parallel_chunks(Context& ctx, int64_t count, void (*fn)(void* data, int64_t i), void* data) {
  ctx.pool->run(count, fn, data);
}

void* thread_scratch(size_t bytes) {
  thread_local Scratch scratch;
  return scratch.get(bytes);
}

void* op_scratch(size_t bytes) {
  thread_local Scratch scratch;
  return scratch.get(bytes);
}

}  // namespace keyheads
