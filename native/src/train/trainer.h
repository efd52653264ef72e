// Update-masked AdamW: gradients, moments, decay and clipping exist for the selected slices only
// (docs/method.md, precise tuning).
#pragma once
#include <memory>
#include <vector>

#include "model/forward.h"

namespace keyheads {

struct Slice {
  SlotRef ref;
  int64_t n0, n1, k0, k1;
};

struct UpdateRequest {
  double lr, beta1, beta2, eps, weight_decay, clip, gradient_scale;
};
struct UpdateResult {
  double gradient_norm;
  int64_t step;
};

// One array a slice, row-major over its rows and columns.
template <class T>
struct TrainerState {
  int64_t step = 0;
  std::vector<std::vector<T>> gradients, first_moments, second_moments, values;
};

template <class T>
class Trainer {
 public:
  // Keeps the model alive.
  Trainer(Context& ctx, std::shared_ptr<Model<T>> model, const std::vector<Slice>& slices);

  // `range` may start behind layers without slices; see `backward` for `recompute`.
  BackwardResult<T> accumulate(Context& ctx, const Batch& batch, const std::vector<Edit<T>>& edits,
                               const Objective<T>& objective, const Range<T>& range = {},
                               bool recompute = false);
  // Throws NON_FINITE, with nothing changed but the gradients cleared, if a gradient is not finite.
  UpdateResult update(Context& ctx, const UpdateRequest& request);
  TrainerState<T> read(Context& ctx) const;
  void write(Context& ctx, const TrainerState<T>& state);

 private:
  struct State {
    Slice slice;
    std::shared_ptr<const Parameter<T>> parameter;
    Tensor<T> gradient, m, v;  // (rows, columns) of the slice
    Tensor<T> master;          // the same of the values, where the weight is stored rounded
  };
  // In full, before they were rounded.
  static Tensor<T> read_values(Context& ctx, const State& state);

  std::shared_ptr<Model<T>> model_;
  std::vector<State> states_;
  SliceMap<T> map_;
  int64_t step_ = 0;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace keyheads
