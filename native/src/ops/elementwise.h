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
// y[rows[r]] = x[r]
template <class T>
struct AssignRows {
  Mat<T> y;             // (M, C)  =, in the given rows
  Mat<const T> x;       // (R, C)
  const int32_t* rows;  // (R), each at most once
};
// y = x + row in every row
template <class T>
struct AddRow {
  Mat<T> y;        // (M, C)  =, may be x
  Mat<const T> x;  // (M, C)
  const T* row;    // (C)
};
// equal[i] = 1 where rows a[i] and b[i] of x have the same bits, else 0
template <class T>
struct EqualRows {
  int32_t* equal;        // host, (R)  =
  Mat<const T> x;        // (M, C)
  const int32_t *a, *b;  // host, (R)
  int64_t count;         // R
};

DECLARE_OP(add, Add)
DECLARE_OP(add_scaled, AddScaled)
DECLARE_OP(gather_rows, GatherRows)
DECLARE_OP(scatter_rows, ScatterRows)
DECLARE_OP(assign_rows, AssignRows)
DECLARE_OP(add_row, AddRow)
DECLARE_OP(equal_rows, EqualRows)

}  // namespace keyheads::ops
