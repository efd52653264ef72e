// Nodes of mixtures of experts.
#include "model/graph.h"
#include "ops/mixture.h"

namespace keyheads {

template <class T>
Var<T> Graph<T>::route(const Var<T>& logits, int64_t chosen) {
  Tensor<T> value(logits.rows(), logits.cols());
  ops::route(ctx_, ops::Route<T>{.weights = value.m, .logits = logits.m(), .chosen = chosen});
  // Which experts a token goes to is not known then: the same for all needs the most at once.
  for (int64_t r = 0; ctx_.planning && r < value.rows(); ++r) {
    for (int64_t e = 0; e < value.cols(); ++e) value.m.row(r)[e] = e < chosen ? T(1) : T(0);
  }
  Var<T> y = result(std::move(value), logits.grad && !rules_.secant_activations);
  if (y.grad) {
    tape_->record([this, logits, y] {
      if (!y.grad->tensor) return;
      Tensor<T> d(logits.rows(), logits.cols());
      ops::route_backward(
          ctx_,
          ops::RouteBackward<T>{.dlogits = d.m, .dweights = y.grad->tensor.m, .weights = y.m()});
      contribute<T>(ctx_, logits, d.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::mix(const Var<T>& weights, const std::vector<Expert>& experts, int64_t width) {
  Tensor<T> value = Tensor<T>::zeros(weights.rows(), width);
  bool wanted = weights.grad != nullptr;
  for (const Expert& e : experts) {
    ops::mix_expert(ctx_, ops::MixExpert<T>{.y = value.m,
                                            .x = e.y.m(),
                                            .weights = weights.m(),
                                            .rows = e.rows.data(),
                                            .expert = e.index});
    wanted = wanted || e.y.grad;
  }
  Var<T> y = result(std::move(value), wanted);
  if (y.grad) {
    tape_->record([this, weights, experts, y] {
      if (!y.grad->tensor) return;
      Tensor<T> dweights = Tensor<T>::zeros(weights.rows(), weights.cols());
      for (const Expert& e : experts) {
        Tensor<T> d(e.y.rows(), e.y.cols());
        ops::mix_expert_backward(ctx_, ops::MixExpertBackward<T>{.dx = d.m,
                                                                 .dweights = dweights.m,
                                                                 .dy = y.grad->tensor.m,
                                                                 .x = e.y.m(),
                                                                 .weights = weights.m(),
                                                                 .rows = e.rows.data(),
                                                                 .expert = e.index});
        if (e.y.grad) contribute<T>(ctx_, e.y, d.m);
      }
      if (weights.grad) contribute<T>(ctx_, weights, dweights.m);
    });
  }
  return y;
}

#define INSTANTIATE(T)                                     \
  template Var<T> Graph<T>::route(const Var<T>&, int64_t); \
  template Var<T> Graph<T>::mix(const Var<T>&, const std::vector<Expert>&, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
