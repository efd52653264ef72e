// Work shared by the compute threads. A leaf header (see view.h).
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/view.h"

namespace keyheads {

struct Context;

// Runs fn(data, i) for i in [0, count) on the pool and returns when all are done. What a chunk
// computes must not depend on which thread runs it, nor on how many threads there are.
void parallel_chunks(Context& ctx, int64_t count, void (*fn)(void* data, int64_t i), void* data);

int thread_count(const Context& ctx);

// Memory of the calling thread, 64-byte aligned, valid until its next call on this thread. It is in
// the account of memory.h, and throws beyond its limit.
void* thread_scratch(size_t bytes);

// The same, but a second piece: for what one op's caller prepares and all its chunks read.
void* op_scratch(size_t bytes);

// Around a run: gives back what all threads hold as scratch at its end, when none computes.
class ScratchUse {
 public:
  ScratchUse() = default;
  ~ScratchUse();
  ScratchUse(const ScratchUse&) = delete;
  ScratchUse& operator=(const ScratchUse&) = delete;
};

template <class F>
KEYHEADS_INLINE void parallel_for(Context& ctx, int64_t count, const F& f) {
  parallel_chunks(
      ctx, count, [](void* data, int64_t i) { (*static_cast<const F*>(data))(i); },
      const_cast<F*>(&f));
}

}  // namespace keyheads
