// A loaded model: its constants, its weights, and the tables that both determine.
#pragma once
#include "base/tensor.h"
#include "model/spec.h"
#include "model/weights.h"

namespace keyheads {

// Cosines and sines of every position up to a length, (length, rotated half), scaled.
template <class T>
struct RotaryTables {
  Tensor<T> cosines, sines;
  int64_t length() const { return cosines ? cosines.rows() : 0; }
};

template <class T>
struct Model {
  Model(Context& ctx, Spec spec, const std::vector<TensorSource>& sources, Storage storage);

  // Throws BAD_ARGUMENT for a model without weights, unless a run is only planned.
  void check_weights(const Context& ctx) const;

  // Tables of at least the first `length` positions. They grow by doubling, so that a context of a
  // million positions costs nothing until a sequence has them; a planned run counts what grows.
  RotaryTables<T> rotary(Context& ctx, int64_t length) const;

  const bool weightless;  // made while planning: to plan runs, nothing else
  Spec spec;
  Weights<T> weights;

 private:
  mutable RotaryTables<T> tables_;  // of the engine thread
};

extern template struct Model<float>;
extern template struct Model<double>;

}  // namespace keyheads
