#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y = x W^T + bias. Every output is one fused-multiply-add chain over ascending k, started at zero,
// the bias added last: so its bits depend on nothing but its row of x and of W. A bfloat16 weight
// gives the bits of the same weight widened; but with v4_bf16, x is rounded to bfloat16 too and a
// link of the chain is the processor's sum of two products.
template <class T>
struct Linear {
  Mat<T> y;        // (M, N)  =
  Mat<const T> x;  // (M, K)
  Weight<T> w;     // (N, K)
  const T* bias;   // (N) or null
  // Where x is rounded: rows of K / 2 pairs of an even K, in place of x; or null.
  const Bf16Pair* pairs = nullptr;
};

// dx = dy W, a chain over ascending n; with v4_bf16 and a bfloat16 weight dy is rounded as x is
// above
template <class T>
struct LinearInputGrad {
  Mat<T> dx;        // (M, K)  = or += by `accumulate`
  Mat<const T> dy;  // (M, N)
  Weight<T> w;      // (N, K)
  bool accumulate;
};

// dw[n - n0, k - k0] += sum over m of dy[m, n] x[m, k]   for the slice's rows and columns only.
// Ascending m in chunks of a fixed size, whatever the number of threads.
template <class T>
struct LinearWeightGrad {
  Mat<T> dw;        // (rows of the slice, columns of the slice)  +=
  Mat<const T> dy;  // (M, N)
  Mat<const T> x;   // (M, K)
  int64_t n0, k0;
};

// db[n - n0] += sum over m of dy[m, n], ascending m
template <class T>
struct LinearBiasGrad {
  T* db;            // (n1 - n0)  +=
  Mat<const T> dy;  // (M, N)
  int64_t n0, n1;
};

// y[r, j] = x[r] . W[ids[r, j]] + bias[ids[r, j]]: some columns of a linear map, row by row. Same
// chain as Linear.
template <class T>
struct SelectedLinear {
  Mat<T> y;            // (M, J)  =
  Mat<const T> x;      // (M, K)
  Weight<T> w;         // (N, K)
  const int32_t* ids;  // host, (M, J)
  const T* bias;       // (N) or null
};

// Fills a packed weight from a row-major matrix, rounded as it is stored; or back.
template <class T>
struct Pack {
  Weight<T> w;          // (N, K)  =, padding zeroed
  Mat<const T> matrix;  // (N, K)
};
template <class T>
struct Unpack {
  Mat<T> matrix;  // (N, K)  =
  Weight<T> w;    // (N, K)
};

DECLARE_OP_BF16(linear, Linear)
DECLARE_OP_BF16(linear_input_grad, LinearInputGrad)
DECLARE_OP_BF16(linear_weight_grad, LinearWeightGrad)
DECLARE_OP_BF16(linear_bias_grad, LinearBiasGrad)
DECLARE_OP_BF16(selected_linear, SelectedLinear)
DECLARE_OP_BF16(pack, Pack)
DECLARE_OP_BF16(unpack, Unpack)

}  // namespace keyheads::ops
