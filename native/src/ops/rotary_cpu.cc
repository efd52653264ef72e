#include "ops/rotary.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

// Pair i is (i * step, i * step + distance): constants, so that both orders become vector code.
template <int64_t step, class T>
void rotate_rows(Context& ctx, const Rotary<T>& a) {
  const int64_t distance = step == 1 ? a.half : 1;
  const T sign = static_cast<T>(a.sign);
  for_rows(ctx, a.y.rows, 2 * a.y.cols, [&](int64_t m) {
    const T* cosine = a.cosines + a.positions[m] * a.half;
    const T* sine = a.sines + a.positions[m] * a.half;
    for (int64_t h = 0; h < a.heads; ++h) {
      const T* x = a.x.row(m) + h * a.width;
      T* y = a.y.row(m) + h * a.width;
#pragma GCC ivdep  // y may be x
      for (int64_t i = 0; i < a.half; ++i) {
        const int64_t first = i * step, second = first + distance;
        const T x1 = x[first], x2 = x[second], s = sign * sine[i];
        y[first] = x1 * cosine[i] - x2 * s;
        y[second] = x2 * cosine[i] + x1 * s;
      }
      for (int64_t i = 2 * a.half; i < a.width; ++i) y[i] = x[i];
    }
  });
}

template <class T>
void rotary_impl(Context& ctx, const Rotary<T>& a) {
  a.adjacent ? rotate_rows<2>(ctx, a) : rotate_rows<1>(ctx, a);
}

}  // namespace

DEFINE_OP(rotary, Rotary)

}  // namespace keyheads::ops
