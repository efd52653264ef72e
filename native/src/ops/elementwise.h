#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y = a + b
template <class T>
struct Add {
  Mat<T> y;  // =, may be a
  Mat<const T> a, b;
};
// y += factor * x
template <class T>
struct AddScaled {
  Mat<T> y;  // +=
  Mat<const T> x;
  T factor;
};
// y[r] = x[rows[r]]
template <class T>
struct GatherRows {
  Mat<T> y;             // (R, C)  =
  Mat<const T> x;       // (M, C)
  const int32_t* rows;  // (R)
};
// y[rows[r]] += x[r], ascending r
template <class T>
struct ScatterRows {
  Mat<T> y;             // (M, C)  +=
  Mat<const T> x;       // (R, C)
  const int32_t* rows;  // (R)
};

DECLARE_OP(add, Add)
DECLARE_OP(add_scaled, AddScaled)
DECLARE_OP(gather_rows, GatherRows)
DECLARE_OP(scatter_rows, ScatterRows)

}  // namespace keyheads::ops
