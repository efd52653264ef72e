// A loaded model: its constants, its weights, and the tables that both determine.
#pragma once
#include "base/tensor.h"
#include "model/spec.h"
#include "model/weights.h"

namespace keyheads {

template <class T>
struct Model {
  Model(Context& ctx, Spec spec, const std::vector<TensorSource>& sources, Storage storage);

  Spec spec;
  Weights<T> weights;
  Tensor<T> cosines, sines;  // (context, rotated half), scaled; empty with learned positions
};

extern template struct Model<float>;
extern template struct Model<double>;

}  // namespace keyheads
