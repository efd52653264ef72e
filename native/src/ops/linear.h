#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y = x W^T + bias. Every output is one fused-multiply-add chain over ascending k, started at zero,
// the bias added last: so its bits depend on nothing but its row of x and of W.
template <class T>
struct Linear {
  Mat<T> y;           // (M, N)  =
  Mat<const T> x;     // (M, K)
  Panels<const T> w;  // (N, K)
  const T* bias;      // (N) or null
};

// dx = dy W
template <class T>
struct LinearInputGrad {
  Mat<T> dx;          // (M, K)  = or += by `accumulate`
  Mat<const T> dy;    // (M, N)
  Panels<const T> w;  // (N, K)
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

// y[r, j] = x[r] . W[ids[r, j]]: some columns of a linear map, row by row. Same chain as Linear.
template <class T>
struct SelectedLinear {
  Mat<T> y;            // (M, J)  =
  Mat<const T> x;      // (M, K)
  Panels<const T> w;   // (N, K)
  const int32_t* ids;  // (M, J)
};

// Fills panels from a row-major matrix, or back.
template <class T>
struct Pack {
  Panels<T> panels;     // (N, K)  =, padding zeroed
  Mat<const T> matrix;  // (N, K)
};
template <class T>
struct Unpack {
  Mat<T> matrix;           // (N, K)  =
  Panels<const T> panels;  // (N, K)
};

DECLARE_OP(linear, Linear)
DECLARE_OP(linear_input_grad, LinearInputGrad)
DECLARE_OP(linear_weight_grad, LinearWeightGrad)
DECLARE_OP(linear_bias_grad, LinearBiasGrad)
DECLARE_OP(selected_linear, SelectedLinear)
DECLARE_OP(pack, Pack)
DECLARE_OP(unpack, Unpack)

}  // namespace keyheads::ops
