#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// gelu: x Phi(x).  gelu_new: the tanh approximation of GPT-2.  relu.  silu: x / (1 + exp(-x)).
enum class Activation : uint8_t { gelu, gelu_new, relu, silu };

// y = act(x), or act(x) * linear where `linear` is given (gated MLPs)
template <class T>
struct Activate {
  Mat<T> y;             // (M, C)  =
  Mat<const T> x;       // (M, C)
  Mat<const T> linear;  // (M, C), data null if not gated
  Activation kind;
};
// dx = dy * act'(x) [* linear];  dlinear = dy * act(x)
// secant: act(x) counts as x times the constant act(x) / x (at 0: act'(0)), and each factor of a
// gated product gets half:  dx = dy * act(x) / x [* linear / 2];  dlinear = dy * act(x) / 2
template <class T>
struct ActivateBackward {
  Mat<T> dx;       // =
  Mat<T> dlinear;  // =, data null if not gated
  Mat<const T> dy, x, linear;
  Activation kind;
  bool secant = false;
};

DECLARE_OP(activate, Activate)
DECLARE_OP(activate_backward, ActivateBackward)

}  // namespace keyheads::ops
