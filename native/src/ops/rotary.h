#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// Rotates the first 2 * half dimensions of every head, pairs (i, i + half) or, where adjacent,
// (2 i, 2 i + 1), by the angle of the row's position: y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin.
// The other dimensions are copied. Backward is the rotation by the negative angle: sign = -1.
template <class T>
struct Rotary {
  Mat<T> y;                  // (M, heads * width)  =, may be x
  Mat<const T> x;            // (M, heads * width)
  const int32_t* positions;  // (M)
  const T* cosines;          // (context, half)
  const T* sines;            // (context, half)
  int64_t heads, width, half;
  bool adjacent;
  int sign;
};

DECLARE_OP(rotary, Rotary)

}  // namespace keyheads::ops
