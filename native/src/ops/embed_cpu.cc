#include "ops/embed.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
KEYHEADS_INLINE void scaled_row(const T* w, T factor, T* y, int64_t cols) {
  for (int64_t c = 0; c < cols; ++c) y[c] = factor * w[c * kPanel];
}
template <class T>
KEYHEADS_INLINE void scaled_row(const Bf16Pair* w, T factor, T* y, int64_t cols) {
  for (int64_t c = 0; c < cols; ++c) {
    const Bf16Pair pair = w[c / 2 * kPanel];
    y[c] = factor * (c % 2 ? pair.second() : pair.first());
  }
}

template <class T>
void embed_impl(Context& ctx, const Embed<T>& a) {
  a.w.visit([&](const auto& w) {
    for_rows(ctx, a.y.rows, 4 * a.y.cols,
             [&](int64_t m) { scaled_row(&w.at(a.ids[m], 0), a.factor, a.y.row(m), a.y.cols); });
  });
}

// In parallel over columns: ids repeat.
template <class T>
void embed_backward_impl(Context& ctx, const EmbedBackward<T>& a) {
  for_ranges(ctx, a.dw.cols, a.dy.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t m = 0; m < a.dy.rows; ++m) {
      const int64_t row = a.ids[m] - a.n0;
      if (row < 0 || row >= a.dw.rows) continue;
      T* dw = a.dw.row(row);
      const T* dy = a.dy.row(m) + a.k0;
      for (int64_t c = begin; c < end; ++c) dw[c] += a.factor * dy[c];
    }
  });
}

}  // namespace

DEFINE_OP(embed, Embed)
DEFINE_OP(embed_backward, EmbedBackward)

}  // namespace keyheads::ops
