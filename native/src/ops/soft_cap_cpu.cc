#include "ops/rows.h"
#include "ops/soft_cap.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

template <class T>
void soft_cap_impl(Context& ctx, const SoftCap<T>& a) {
  for_rows(ctx, a.x.rows, 8 * a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    T* y = a.y.row(m);
#pragma GCC ivdep  // y may be x
    for (int64_t c = 0; c < a.x.cols; ++c) y[c] = a.cap * tanh_of(x[c] / a.cap);
  });
}

template <class T>
void soft_cap_backward_impl(Context& ctx, const SoftCapBackward<T>& a) {
  for_rows(ctx, a.dy.rows, 4 * a.dy.cols, [&](int64_t m) {
    const T* dy = a.dy.row(m);
    const T* y = a.y.row(m);
    T* dx = a.dx.row(m);
#pragma GCC ivdep  // dx may be dy
    for (int64_t c = 0; c < a.dy.cols; ++c) {
      const T t = y[c] / a.cap;
      dx[c] = dy[c] * (T(1) - t * t);
    }
  });
}

}  // namespace

DEFINE_OP(soft_cap, SoftCap)
DEFINE_OP(soft_cap_backward, SoftCapBackward)

}  // namespace keyheads::ops
