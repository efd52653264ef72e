#include "ops/activation.h"
#include "ops/rows.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

template <Activation kind, class T>
void activate_rows(Context& ctx, const Activate<T>& a) {
  for_rows(ctx, a.x.rows, 8 * a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    T* y = a.y.row(m);
    if (a.linear.data) {
      const T* linear = a.linear.row(m);
      for (int64_t c = 0; c < a.x.cols; ++c) y[c] = activated<kind>(x[c]).y * linear[c];
    } else {
      for (int64_t c = 0; c < a.x.cols; ++c) y[c] = activated<kind>(x[c]).y;
    }
  });
}

template <bool secant, Activation kind, class T>
void activate_rows_backward(Context& ctx, const ActivateBackward<T>& a) {
  const auto slope = [](const Activated<T>& act, T x) {
    return !secant || x == 0 ? act.slope : act.y / x;
  };
  constexpr T share = secant ? T(0.5) : T(1);
  for_rows(ctx, a.x.rows, 12 * a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    const T* dy = a.dy.row(m);
    T* dx = a.dx.row(m);
    if (a.linear.data) {
      const T* linear = a.linear.row(m);
      T* dlinear = a.dlinear.row(m);
      for (int64_t c = 0; c < a.x.cols; ++c) {
        const Activated<T> act = activated<kind>(x[c]);
        const T d = share * dy[c];
        dx[c] = d * slope(act, x[c]) * linear[c];
        dlinear[c] = d * act.y;
      }
    } else {
      for (int64_t c = 0; c < a.x.cols; ++c) dx[c] = dy[c] * slope(activated<kind>(x[c]), x[c]);
    }
  });
}

template <class T>
void activate_impl(Context& ctx, const Activate<T>& a) {
  switch (a.kind) {
    case Activation::gelu:
      return activate_rows<Activation::gelu>(ctx, a);
    case Activation::gelu_new:
      return activate_rows<Activation::gelu_new>(ctx, a);
    case Activation::relu:
      return activate_rows<Activation::relu>(ctx, a);
    case Activation::silu:
      return activate_rows<Activation::silu>(ctx, a);
  }
}

template <bool secant, class T>
void activate_backward_by_kind(Context& ctx, const ActivateBackward<T>& a) {
  switch (a.kind) {
    case Activation::gelu:
      return activate_rows_backward<secant, Activation::gelu>(ctx, a);
    case Activation::gelu_new:
      return activate_rows_backward<secant, Activation::gelu_new>(ctx, a);
    case Activation::relu:
      return activate_rows_backward<secant, Activation::relu>(ctx, a);
    case Activation::silu:
      return activate_rows_backward<secant, Activation::silu>(ctx, a);
  }
}

template <class T>
void activate_backward_impl(Context& ctx, const ActivateBackward<T>& a) {
  a.secant ? activate_backward_by_kind<true>(ctx, a) : activate_backward_by_kind<false>(ctx, a);
}

}  // namespace

DEFINE_OP(activate, Activate)
DEFINE_OP(activate_backward, ActivateBackward)

}  // namespace keyheads::ops
