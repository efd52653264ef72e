#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y = cap * tanh(x / cap)
template <class T>
struct SoftCap {
  Mat<T> y;        // (M, C)  =, may be x
  Mat<const T> x;  // (M, C)
  T cap;
};
// dx = dy * (1 - (y / cap)^2)
template <class T>
struct SoftCapBackward {
  Mat<T> dx;        // (M, C)  =, may be dy
  Mat<const T> dy;  // (M, C)
  Mat<const T> y;   // (M, C)
  T cap;
};

DECLARE_OP(soft_cap, SoftCap)
DECLARE_OP(soft_cap_backward, SoftCapBackward)

}  // namespace keyheads::ops
