#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// loss[r] = logsumexp(logits[r]) - logits[r, targets[r]];
// dlogits[r] = weights[r] * (softmax(logits[r]) - onehot(targets[r]))
template <class T>
struct CrossEntropy {
  T* loss;                 // (R)     =
  Mat<T> dlogits;          // (R, V)  =, may be logits; data null: not wanted
  Mat<const T> logits;     // (R, V)
  const int32_t* targets;  // (R)
  const T* weights;        // (R), not read without dlogits
};

// Any of the two outputs may be null. Ties: the lowest index.
template <class T>
struct RowSummary {
  int32_t* argmax;      // (R)  =
  T* logsumexp;         // (R)  =
  Mat<const T> logits;  // (R, V)
};

DECLARE_OP(cross_entropy, CrossEntropy)
DECLARE_OP(row_summary, RowSummary)

}  // namespace keyheads::ops
