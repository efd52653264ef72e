#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y[m] = factor * W[ids[m]]
template <class T>
struct Embed {
  Mat<T> y;            // (M, C)  =
  Weight<T> w;         // (vocab, C)
  const int32_t* ids;  // (M)
  T factor;
};
// dw[ids[m] - n0, c - k0] += factor * dy[m, c] for ids and columns inside the slice; ascending m
template <class T>
struct EmbedBackward {
  Mat<T> dw;           // (rows of the slice, columns of the slice)  +=
  Mat<const T> dy;     // (M, C)
  const int32_t* ids;  // (M)
  int64_t n0, k0;
  T factor;
};

DECLARE_OP(embed, Embed)
DECLARE_OP(embed_backward, EmbedBackward)

}  // namespace keyheads::ops
