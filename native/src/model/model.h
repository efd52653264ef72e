// A loaded model: its constants, its weights, and the tables that both determine.
#pragma once
#include "base/tensor.h"
#include "model/spec.h"
#include "model/weights.h"

namespace keyheads {

template <class T>
struct Model {
  Model(Context& ctx, Spec spec, const std::vector<TensorSource>& sources, Storage storage);

  // Throws BAD_ARGUMENT for a model without weights, unless a run is only planned.
  void check_weights(const Context& ctx) const;

  const bool weightless;  // made while planning: to plan runs, nothing else
  Spec spec;
  Weights<T> weights;
  Tensor<T> cosines, sines;  // (context, rotated half), scaled; empty with learned positions
};

extern template struct Model<float>;
extern template struct Model<double>;

}  // namespace keyheads
