#include "model/model.h"

#include <cmath>

#include "base/check.h"

namespace keyheads {

template <class T>
Model<T>::Model(Context& ctx, Spec given, const std::vector<TensorSource>& sources, Storage storage)
    : weightless(ctx.planning), spec(std::move(given)), weights(ctx, spec, sources, storage) {
  if (!spec.rotary) return;
  const auto half = static_cast<int64_t>(spec.inverse_frequencies.size());
  cosines = Tensor<T>(spec.context, half);
  sines = Tensor<T>(spec.context, half);
  for (int64_t p = 0; p < spec.context && !weightless; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * spec.inverse_frequencies[i];
      cosines.m.row(p)[i] = static_cast<T>(spec.rotary_scale * std::cos(angle));
      sines.m.row(p)[i] = static_cast<T>(spec.rotary_scale * std::sin(angle));
    }
  }
}

template <class T>
void Model<T>::check_weights(const Context& ctx) const {
  if (!weightless || ctx.planning) return;
  fail("BAD_ARGUMENT", "this model was opened without weights, to plan runs; load it to run them");
}

template struct Model<float>;
template struct Model<double>;

}  // namespace keyheads
