#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// weights = softmax of a row's `chosen` largest logits (ties: the lowest index), 0 for the others;
// that is the softmax over all of them, its chosen entries divided by their sum.
template <class T>
struct Route {
  Mat<T> weights;       // (M, E)  =
  Mat<const T> logits;  // (M, E)
  int64_t chosen;
};
// dlogits = weights * (dweights - sum(weights * dweights))
template <class T>
struct RouteBackward {
  Mat<T> dlogits;         // (M, E)  =
  Mat<const T> dweights;  // (M, E)
  Mat<const T> weights;   // (M, E)
};
// y[r, i] = index of the i-th largest of a row (ties: the lowest index first)
template <class T>
struct Choices {
  Mat<T> y;             // (M, chosen)  =
  Mat<const T> logits;  // (M, E)
};

// y[rows[i]] += weights[rows[i], expert] * x[i]
template <class T>
struct MixExpert {
  Mat<T> y;              // (M, C)  +=
  Mat<const T> x;        // (R, C)
  Mat<const T> weights;  // (M, E)
  const int32_t* rows;   // (R), each at most once
  int64_t expert;
};
// dx[i] = weights[rows[i], expert] * dy[rows[i]];  dweights[rows[i], expert] = dy[rows[i]] . x[i]
template <class T>
struct MixExpertBackward {
  Mat<T> dx;             // (R, C)  =
  Mat<T> dweights;       // (M, E)  =, in the column of this expert only
  Mat<const T> dy;       // (M, C)
  Mat<const T> x;        // (R, C)
  Mat<const T> weights;  // (M, E)
  const int32_t* rows;   // (R)
  int64_t expert;
};

DECLARE_OP(route, Route)
DECLARE_OP(route_backward, RouteBackward)
DECLARE_OP(choices, Choices)
DECLARE_OP(mix_expert, MixExpert)
DECLARE_OP(mix_expert_backward, MixExpertBackward)

}  // namespace keyheads::ops
