// Nodes of mixtures of experts.
#include "model/graph.h"
#include "ops/elementwise.h"
#include "ops/mixture.h"

namespace keyheads {

template <class T>
Var<T> Graph<T>::route(const Var<T>& logits, int64_t chosen) {
  Tensor<T> value(logits.rows(), logits.cols());
  ops::route(ctx_, ops::Route<T>{.weights = value.m, .logits = logits.m(), .chosen = chosen});
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
Var<T> Graph<T>::choices(const Var<T>& logits, int64_t chosen) {
  Tensor<T> value(logits.rows(), chosen);
  ops::choices(ctx_, ops::Choices<T>{.y = value.m, .logits = logits.m()});
  return constant(std::move(value));
}

namespace {

// The columns of one expert in a matrix that has `width` for each.
template <class M>
M block_of(const M& m, int64_t expert, int64_t width) {
  return {m.data + expert * width, m.rows, width, m.stride};
}

template <class T>
void copy_block(Context& ctx, const std::vector<int32_t>& rows, int64_t expert, Mat<const T> blocks,
                Mat<T> y) {
  ops::gather_rows(
      ctx, ops::GatherRows<T>{.y = y, .x = block_of(blocks, expert, y.cols), .rows = rows.data()});
}
template <class T>
void write_block(Context& ctx, const std::vector<int32_t>& rows, int64_t expert, Mat<const T> y,
                 Mat<T> blocks) {
  ops::assign_rows(
      ctx, ops::AssignRows<T>{.y = block_of(blocks, expert, y.cols), .x = y, .rows = rows.data()});
}

}  // namespace

template <class T>
Var<T> Graph<T>::spread_experts(const std::vector<Expert>& experts, int64_t rows, int64_t count,
                                int64_t width) {
  Tensor<T> value = Tensor<T>::zeros(ctx_, rows, count * width);
  bool wanted = false;
  for (const Expert& e : experts) {
    write_block<T>(ctx_, e.rows, e.index, e.y.m(), value.m);
    wanted = wanted || e.y.grad;
  }
  Var<T> y = result(std::move(value), wanted);
  if (y.grad) {
    tape_->record([this, experts, y] {
      if (!y.grad->tensor) return;
      for (const Expert& e : experts) {
        if (!e.y.grad) continue;
        Tensor<T> d(e.y.rows(), e.y.cols());
        copy_block<T>(ctx_, e.rows, e.index, y.grad->tensor.m, d.m);
        contribute<T>(ctx_, e.y, d.m);
      }
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::expert_rows(const Var<T>& x, const Expert& expert) {
  Tensor<T> value(expert.y.rows(), expert.y.cols());
  copy_block<T>(ctx_, expert.rows, expert.index, x.m(), value.m);
  Var<T> y = result(std::move(value), x.grad != nullptr);
  if (y.grad) {
    tape_->record([this, x, y, rows = expert.rows, index = expert.index] {
      if (!y.grad->tensor) return;
      Tensor<T> d = Tensor<T>::zeros(ctx_, x.rows(), x.cols());
      write_block<T>(ctx_, rows, index, y.grad->tensor.m, d.m);
      contribute<T>(ctx_, x, d.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::mix(const Var<T>& weights, const std::vector<Expert>& experts, int64_t width) {
  Tensor<T> value = Tensor<T>::zeros(ctx_, weights.rows(), width);
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
      Tensor<T> dweights = Tensor<T>::zeros(ctx_, weights.rows(), weights.cols());
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

#define INSTANTIATE(T)                                                                             \
  template Var<T> Graph<T>::route(const Var<T>&, int64_t);                                         \
  template Var<T> Graph<T>::choices(const Var<T>&, int64_t);                                       \
  template Var<T> Graph<T>::spread_experts(const std::vector<Expert>&, int64_t, int64_t, int64_t); \
  template Var<T> Graph<T>::expert_rows(const Var<T>&, const Expert&);                             \
  template Var<T> Graph<T>::mix(const Var<T>&, const std::vector<Expert>&, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
