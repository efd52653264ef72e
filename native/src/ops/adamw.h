#pragma once
#include "ops/slices.h"

namespace keyheads::ops {

// out[0] = sum of squares, in chunks of a fixed size, in double
template <class T>
struct SumOfSquares {
  double* out;  // host  =
  const T* x;   // (count)
  int64_t count;
};

// One step on one slice of a packed weight (Loshchilov and Hutter 2019):
//   g = factor * gradient;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   p = p (1 - lr * weight_decay) - lr * (m / correction1) / (sqrt(v / correction2) + eps)
// correction1 = 1 - beta1^step, correction2 = 1 - beta2^step. The gradient is zeroed. A weight that
// is stored as bfloat16 has its p in `master` (see master_value) and is given p rounded.
template <class T>
struct AdamW {
  Weight<T> w;  // (N, K); only rows n0.., columns k0.. of the slice change
  T* master;    // (rows * columns); null for a weight stored in full
  int64_t n0, k0;
  Mat<T> gradient;  // (rows, columns) of the slice, dense; zeroed
  T* m;             // (rows * columns)
  T* v;             // (rows * columns)
  double factor, lr, beta1, beta2, eps, weight_decay, correction1, correction2;
};

DECLARE_OP(sum_of_squares, SumOfSquares)
DECLARE_OP(adamw, AdamW)

}  // namespace keyheads::ops
