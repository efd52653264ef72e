#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y[i, h, v] = sum over rows r of item i, and over c, of g[r, h, c] values[v, r, c]: what moving
// along v changes, by the gradient g. The sum of a row is one of T, that of rows is double.
template <class T>
struct Along {
  Mat<T> y;               // (I, H * V)  =
  Mat<const T> g;         // (R, H * C)
  Mat<const T> values;    // (V * R, C)
  int64_t count;          // V
  int64_t heads;          // H
  const int32_t* starts;  // host, (I + 1): item i has rows starts[i] to starts[i + 1]
};

DECLARE_OP(along, Along)

}  // namespace keyheads::ops
