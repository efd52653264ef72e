#pragma once
#include "ops/attention.h"

namespace keyheads::ops {

// Attention in three steps, for when a hook looks between them; equal bits to the fused op. A
// pattern buffer holds, per segment with n rows, [heads, n, past_rows + n] at its pattern offset.
// `bf16` is that of the fused op.
template <class T>
struct AttentionScores {
  T* scores;  // pattern buffer  =, -inf where a query does not see a key
  Mat<const T> q, k;
  const Segment<T>* segments;      // host
  const int64_t* pattern_offsets;  // host
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
  T cap = 0;           // 0: none
  int64_t window = 0;  // 0: no limit
  bool bf16 = false;
};
// Softmax of every row of scores (-inf becomes 0). In place allowed.
template <class T>
struct AttentionSoftmax {
  T* pattern;                      // pattern buffer  =
  const T* scores;                 // pattern buffer
  const Segment<T>* segments;      // host
  const int64_t* pattern_offsets;  // host
  int64_t segment_count;
  int64_t heads;
};
// z = pattern @ v, over all keys: an edited pattern may see any of them
template <class T>
struct AttentionMix {
  Mat<T> z;          // =
  const T* pattern;  // pattern buffer
  Mat<const T> v;
  const Segment<T>* segments;      // host
  const int64_t* pattern_offsets;  // host
  int64_t segment_count;
  int64_t heads, groups, width;
  bool bf16 = false;
};
// dpattern = dz . v;  dv = pattern^T dz summed over the group's heads
template <class T>
struct AttentionMixBackward {
  T* dpattern;  // pattern buffer  =
  Mat<T> dv;    // =
  Mat<const T> dz, v;
  const T* pattern;
  const Segment<T>* segments;      // host
  const int64_t* pattern_offsets;  // host
  int64_t segment_count;
  int64_t heads, groups, width;
  bool bf16 = false;
};
// dscores = pattern * (dpattern - sum(pattern * dpattern))
template <class T>
struct AttentionSoftmaxBackward {
  T* dscores;  // pattern buffer  =, may be dpattern
  const T* dpattern;
  const T* pattern;                // the softmax's own output
  const Segment<T>* segments;      // host
  const int64_t* pattern_offsets;  // host
  int64_t segment_count;
  int64_t heads;
};
// With a cap, dscores first becomes dscores * (1 - (scores / cap)^2);
// dq = scale * dscores k, dk = scale * dscores^T q over the keys that a query sees
template <class T>
struct AttentionScoresBackward {
  Mat<T> dq, dk;  // =
  const T* dscores;
  const T* scores;  // the op's own output; read with a cap only
  Mat<const T> q, k;
  const Segment<T>* segments;      // host
  const int64_t* pattern_offsets;  // host
  int64_t segment_count;
  int64_t heads, groups, width;
  T scale;
  T cap = 0;           // 0: none
  int64_t window = 0;  // 0: no limit
  bool bf16 = false;
};

DECLARE_OP(attention_scores, AttentionScores)
DECLARE_OP(attention_softmax, AttentionSoftmax)
DECLARE_OP(attention_mix, AttentionMix)
DECLARE_OP(attention_mix_backward, AttentionMixBackward)
DECLARE_OP(attention_softmax_backward, AttentionSoftmaxBackward)
DECLARE_OP(attention_scores_backward, AttentionScoresBackward)

}  // namespace keyheads::ops
