#include "ops/rotary.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
void rotary_impl(Context& ctx, const Rotary<T>& a) {
  const T sign = static_cast<T>(a.sign);
  for_rows(ctx, a.y.rows, 2 * a.y.cols, [&](int64_t m) {
    const T* cosine = a.cosines + a.positions[m] * a.half;
    const T* sine = a.sines + a.positions[m] * a.half;
    for (int64_t h = 0; h < a.heads; ++h) {
      const T* x = a.x.row(m) + h * a.width;
      T* y = a.y.row(m) + h * a.width;
#pragma GCC ivdep  // y may be x
      for (int64_t i = 0; i < a.half; ++i) {
        const T x1 = x[i], x2 = x[i + a.half], s = sign * sine[i];
        y[i] = x1 * cosine[i] - x2 * s;
        y[i + a.half] = x2 * cosine[i] + x1 * s;
      }
      for (int64_t i = 2 * a.half; i < a.width; ++i) y[i] = x[i];
    }
  });
}

}  // namespace

DEFINE_OP(rotary, Rotary)

}  // namespace keyheads::ops
