#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// sums[r] = sum over j of weights[r, j] * x[r, ids[r, j]], in double, ascending j; without ids, of
// all columns: ids[r, j] = j
template <class T>
struct WeighColumns {
  double* sums;        // host, (R)  =
  Mat<const T> x;      // (R, C)
  const int32_t* ids;  // host, (R, J), or null
  const T* weights;    // host, (R, J)
  int64_t width;       // J
};
// dx[r, ids[r, j]] += weights[r, j], ascending j
template <class T>
struct WeighColumnsBackward {
  Mat<T> dx;           // (R, C)  +=
  const int32_t* ids;  // host, (R, J), or null
  const T* weights;    // host, (R, J)
  int64_t width;       // J
};

DECLARE_OP(weigh_columns, WeighColumns)
DECLARE_OP(weigh_columns_backward, WeighColumnsBackward)

}  // namespace keyheads::ops
