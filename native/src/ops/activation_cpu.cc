#include "ops/activation.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

// act(x) and act'(x)
template <class T>
struct Value {
  T y, slope;
};

template <class T>
Value<T> evaluate(Activation kind, T value) {
  const double x = value;
  double y = 0, slope = 0;
  switch (kind) {
    case Activation::gelu: {
      const double phi = 0.5 * __builtin_erfc(-x * 0.70710678118654752440);
      y = x * phi;
      slope = phi + x * 0.39894228040143267794 * __builtin_exp(-0.5 * x * x);
      break;
    }
    case Activation::gelu_new: {  // x (1 + tanh(u)) / 2 = x sigmoid(2 u)
      const double u2 = 1.59576912160573071176 * (x + 0.044715 * x * x * x);
      const double du2 = 1.59576912160573071176 * (1 + 3 * 0.044715 * x * x);
      const double sigmoid = 1 / (1 + __builtin_exp(-u2));
      y = x * sigmoid;
      slope = sigmoid + x * sigmoid * (1 - sigmoid) * du2;
      break;
    }
    case Activation::relu:
      y = x > 0 ? x : 0;
      slope = x > 0 ? 1 : 0;
      break;
    case Activation::silu: {
      const double sigmoid = 1 / (1 + __builtin_exp(-x));
      y = x * sigmoid;
      slope = sigmoid + y * (1 - sigmoid);
      break;
    }
  }
  return {static_cast<T>(y), static_cast<T>(slope)};
}

template <class T>
void activate_impl(Context& ctx, const Activate<T>& a) {
  for_rows(ctx, a.x.rows, 8 * a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    const T* linear = a.linear.data ? a.linear.row(m) : nullptr;
    T* y = a.y.row(m);
    for (int64_t c = 0; c < a.x.cols; ++c) {
      const T value = evaluate(a.kind, x[c]).y;
      y[c] = linear ? value * linear[c] : value;
    }
  });
}

template <class T>
void activate_backward_impl(Context& ctx, const ActivateBackward<T>& a) {
  for_rows(ctx, a.x.rows, 8 * a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    const T* dy = a.dy.row(m);
    const T* linear = a.linear.data ? a.linear.row(m) : nullptr;
    T* dx = a.dx.row(m);
    T* dlinear = a.dlinear.data ? a.dlinear.row(m) : nullptr;
    for (int64_t c = 0; c < a.x.cols; ++c) {
      const Value<T> value = evaluate(a.kind, x[c]);
      const T d = dy[c];
      dx[c] = linear ? d * value.slope * linear[c] : d * value.slope;
      if (dlinear) dlinear[c] = d * value.y;
    }
  });
}

}  // namespace

DEFINE_OP(activate, Activate)
DEFINE_OP(activate_backward, ActivateBackward)

}  // namespace keyheads::ops
