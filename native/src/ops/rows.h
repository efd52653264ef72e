// Work split over rows or columns, for ops whose rows (columns) do not depend on each other: how
// they are grouped into chunks then changes no bit. A leaf header (see base/view.h).
#pragma once
#include "base/parallel.h"
#include "base/view.h"

namespace keyheads::ops {

template <class I>
KEYHEADS_INLINE I smaller(I a, I b) {
  return a < b ? a : b;
}
template <class I>
KEYHEADS_INLINE I larger(I a, I b) {
  return a < b ? b : a;
}
KEYHEADS_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// About 10 us of work: less is not worth waking a thread for.
inline constexpr int64_t kChunkCost = 16384;

// Calls f(begin, end) for pieces of [0, count), in parallel. `cost` is that of one of the count,
// in elements of a cheap elementwise operation; pieces begin at multiples of `align`.
template <class F>
KEYHEADS_INLINE void for_ranges(Context& ctx, int64_t count, int64_t cost, int64_t align,
                                const F& f) {
  const int64_t wanted = ceil_div(kChunkCost, larger<int64_t>(cost, 1));
  const int64_t piece = ceil_div(wanted, align) * align;
  parallel_for(ctx, ceil_div(count, piece),
               [&](int64_t i) { f(i * piece, smaller(count, (i + 1) * piece)); });
}

template <class F>
KEYHEADS_INLINE void for_rows(Context& ctx, int64_t rows, int64_t cost, const F& f) {
  for_ranges(ctx, rows, cost, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace keyheads::ops
