#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// The queries of one sequence and the keys they may see. Keys come in two pieces, one after the
// other: `past` (a cache, or a base run) and the rows of k and v that belong to this call.
// Query i of the segment sees the `past_rows + i + 1` first keys (causal).
template <class T>
struct Segment {
  int64_t row;  // first row of q, k, v, z; the segment has `rows` of each
  int64_t rows;
  const T* past_k;  // (past_rows, groups * width) or null
  const T* past_v;  // (past_rows, groups * width) or null
  int64_t past_rows;
};

// scores = scale * q . k;  pattern = softmax(scores);  z = pattern @ v. Query head h reads group
// h / (heads / groups). Memory grows linearly with length. Sums over keys ascend.
template <class T>
struct Attention {
  Mat<T> z;        // (M, heads * width)  =
  Mat<const T> q;  // (M, heads * width)
  Mat<const T> k;  // (M, groups * width)
  Mat<const T> v;  // (M, groups * width)
  const Segment<T>* segments;
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
};
// Recomputes the pattern row by row. Segments have no past.
template <class T>
struct AttentionBackward {
  Mat<T> dq, dk, dv;  // =
  Mat<const T> dz, q, k, v;
  const Segment<T>* segments;
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
};

// The same in three steps for when a hook looks between them; equal bits to Attention. A pattern
// buffer holds, per segment s with n rows, [heads, n, n] at pattern_offsets[s]; no past.
template <class T>
struct AttentionScores {
  T* scores;  // pattern buffer  =, -inf above the diagonal
  Mat<const T> q, k;
  const Segment<T>* segments;
  const int64_t* pattern_offsets;
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
};
// Softmax of every row of n scores (masked entries become 0). In place allowed.
template <class T>
struct AttentionSoftmax {
  T* pattern;       // pattern buffer  =
  const T* scores;  // pattern buffer
  const Segment<T>* segments;
  const int64_t* pattern_offsets;
  int64_t segment_count;
  int64_t heads;
};
// z = pattern @ v, over the causal part only
template <class T>
struct AttentionMix {
  Mat<T> z;          // =
  const T* pattern;  // pattern buffer
  Mat<const T> v;
  const Segment<T>* segments;
  const int64_t* pattern_offsets;
  int64_t segment_count;
  int64_t heads, groups, width;
};
// dpattern = dz . v (0 above the diagonal); dv += pattern^T dz summed over the group's heads
template <class T>
struct AttentionMixBackward {
  T* dpattern;  // pattern buffer  =
  Mat<T> dv;    // =
  Mat<const T> dz, v;
  const T* pattern;
  const Segment<T>* segments;
  const int64_t* pattern_offsets;
  int64_t segment_count;
  int64_t heads, groups, width;
};
// dscores = pattern * (dpattern - sum(pattern * dpattern))
template <class T>
struct AttentionSoftmaxBackward {
  T* dscores;  // pattern buffer  =, may be dpattern
  const T* dpattern;
  const T* pattern;  // the softmax's own output
  const Segment<T>* segments;
  const int64_t* pattern_offsets;
  int64_t segment_count;
  int64_t heads;
};
// dq = scale * dscores k, dk = scale * dscores^T q
template <class T>
struct AttentionScoresBackward {
  Mat<T> dq, dk;  // =
  const T* dscores;
  Mat<const T> q, k;
  const Segment<T>* segments;
  const int64_t* pattern_offsets;
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
};

DECLARE_OP(attention, Attention)
DECLARE_OP(attention_backward, AttentionBackward)
DECLARE_OP(attention_scores, AttentionScores)
DECLARE_OP(attention_softmax, AttentionSoftmax)
DECLARE_OP(attention_mix, AttentionMix)
DECLARE_OP(attention_mix_backward, AttentionMixBackward)
DECLARE_OP(attention_softmax_backward, AttentionSoftmaxBackward)
DECLARE_OP(attention_scores_backward, AttentionScoresBackward)

}  // namespace keyheads::ops
