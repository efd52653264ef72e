// Reverse-mode differentiation of one run. Every node of the graph (model/graph.h) that has a
// gradient to pass on records one step; the steps run backwards. A value whose gradient nobody
// wants has no slot, so nothing is recorded below the lowest wanted place: that is how backward
// stops there.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/tensor.h"

namespace keyheads {

// Gradient of one value; empty until the first consumer has contributed.
template <class T>
struct Grad {
  Tensor<T> tensor;

  // Where to put a contribution; `accumulate` says whether to add to it or to overwrite it.
  Mat<T> target(int64_t rows, int64_t cols, bool& accumulate) {
    accumulate = static_cast<bool>(tensor);
    if (!tensor) tensor = Tensor<T>(rows, cols);
    return tensor.m;
  }
};

template <class T>
struct Var {
  Tensor<T> value;
  std::shared_ptr<Grad<T>> grad;  // null: no gradient wanted

  Mat<T> m() const { return value.m; }
  int64_t rows() const { return value.rows(); }
  int64_t cols() const { return value.cols(); }

  // Rows, columns and gradient, without the value: what a step keeps that does not read it.
  Var shape() const { return {Tensor<T>(nullptr, {nullptr, rows(), cols(), cols()}), grad}; }
};

class Tape {
 public:
  void record(std::function<void()> step) { steps_.push_back(std::move(step)); }

  // Each step is dropped after it ran, and with it the activations only it still needed.
  void run_backward() {
    while (!steps_.empty()) {
      const auto step = std::move(steps_.back());
      steps_.pop_back();
      step();
    }
  }

 private:
  std::vector<std::function<void()>> steps_;
};

}  // namespace keyheads
