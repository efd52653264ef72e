#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// What W[row, col] is before it was rounded: its master, unless the weight was written since.
KEYHEADS_INLINE float master_value(float stored, float master) {
  return rounded_to_bf16(master) == stored ? master : stored;
}

// out[i, j] = W[n0 + i, k0 + j], or what it was before it was rounded
template <class T>
struct ReadSlice {
  Mat<T> out;   // (rows, columns) of the slice  =
  Weight<T> w;  // (N, K)
  int64_t n0, k0;
  const T* master;  // (rows * columns), of a weight stored as bfloat16; or null
};
// W[n0 + i, k0 + j] = values[i, j], rounded as W is stored
template <class T>
struct WriteSlice {
  Weight<T> w;          // (N, K)  =, in the slice
  Mat<const T> values;  // (rows, columns) of the slice
  int64_t n0, k0;
};

DECLARE_OP(read_slice, ReadSlice)
DECLARE_OP(write_slice, WriteSlice)

}  // namespace keyheads::ops
