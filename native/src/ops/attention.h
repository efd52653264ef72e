#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// The queries of one sequence and the keys they may see. Keys come in two pieces, one after the
// other: `past` (a cache, or a base run) and the rows of k and v that belong to this call.
// Query i of the segment has index past_rows + i, and sees the keys up to its own (causal); with a
// window, the last `window` of those.
template <class T>
struct Segment {
  int64_t row;  // first row of q, k, v, z; the segment has `rows` of each
  int64_t rows;
  const T* past_k;  // (past_rows, groups * width) or null
  const T* past_v;  // (past_rows, groups * width) or null
  int64_t past_rows;
};

// With `bf16`, a GPU rounds q, k, v and dz to bfloat16 on the way into its products, and multiplies
// on tensor cores; scores, patterns and sums stay float. The CPU does not round.
//
// scores = scale * q . k, and with a cap, cap * tanh(scores / cap);  pattern = softmax(scores);
// z = pattern @ v. Query head h reads group h / (heads / groups). Memory grows linearly with
// length, and nothing is computed outside the window. Sums over keys ascend.
template <class T>
struct Attention {
  Mat<T> z;                    // (M, heads * width)  =
  Mat<const T> q;              // (M, heads * width)
  Mat<const T> k;              // (M, groups * width)
  Mat<const T> v;              // (M, groups * width)
  const Segment<T>* segments;  // host
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
  T cap = 0;           // 0: none
  int64_t window = 0;  // 0: no limit
  bool bf16 = false;   // see above
};
// Recomputes the pattern row by row. Past keys and values are constants.
template <class T>
struct AttentionBackward {
  Mat<T> dq, dk, dv;  // =
  Mat<const T> dz, q, k, v;
  const Segment<T>* segments;  // host
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
  T cap = 0;           // 0: none
  int64_t window = 0;  // 0: no limit
  bool bf16 = false;   // see above
};

DECLARE_OP(attention, Attention)
DECLARE_OP(attention_backward, AttentionBackward)

}  // namespace keyheads::ops
