#include "train/trainer.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "ops/adamw.h"
#include "ops/slices.h"

namespace keyheads {
namespace {

bool overlap(const Slice& a, const Slice& b) {
  return a.ref == b.ref && a.n0 < b.n1 && b.n0 < a.n1 && a.k0 < b.k1 && b.k0 < a.k1;
}

template <class T>
void fill(Context& ctx, const Tensor<T>& tensor, const std::vector<T>& from, const Slice& slice,
          const char* what) {
  if (static_cast<int64_t>(from.size()) != tensor.size()) {
    fail("BAD_ARGUMENT", "trainer state: ", what, " of ", describe(slice.ref), " has ", from.size(),
         " numbers, expected ", tensor.size());
  }
  bytes_from_host(ctx, tensor.data(), from.data(), tensor.bytes());
}

template <class T>
std::vector<T> values_of(Context& ctx, const Tensor<T>& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.size()));
  bytes_to_host(ctx, values.data(), tensor.data(), tensor.bytes());
  return values;
}

}  // namespace

template <class T>
Trainer<T>::Trainer(Context& ctx, std::shared_ptr<Model<T>> model, const std::vector<Slice>& slices)
    : model_(std::move(model)) {
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& s = slices[i];
    const auto parameter = model_->weights.share(s.ref);
    const Parameter<T>& p = *parameter;
    if (s.n0 < 0 || s.n1 > p.n() || s.n0 >= s.n1 || s.k0 < 0 || s.k1 > p.k() || s.k0 >= s.k1) {
      fail("BAD_ARGUMENT", "slice rows [", s.n0, ", ", s.n1, ") columns [", s.k0, ", ", s.k1,
           ") is not inside ", describe(s.ref), " of [", p.n(), ", ", p.k(), "]");
    }
    for (size_t j = 0; j < i; ++j) {
      if (overlap(s, slices[j])) {
        fail("BAD_ARGUMENT", "two slices of ", describe(s.ref), " overlap");
      }
    }
    const int64_t rows = s.n1 - s.n0, cols = s.k1 - s.k0;
    const auto zeros = [&] { return Tensor<T>::zeros(ctx, rows, cols); };
    states_.push_back({s, parameter, zeros(), zeros(), zeros(), Tensor<T>()});
    if (p.weight(ctx).storage == Storage::bf16)
      states_.back().master = read_values(ctx, states_.back());
    map_[&p].push_back({s.n0, s.n1, s.k0, s.k1, states_.back().gradient.m});
  }
}

template <class T>
BackwardResult<T> Trainer<T>::accumulate(Context& ctx, const Batch& batch,
                                         const std::vector<Edit<T>>& edits,
                                         const Objective<T>& objective, const Range<T>& range,
                                         bool recompute) {
  for (const State& s : states_) {
    const bool skipped = range.starts() && s.slice.ref.layer < range.first;
    const std::string& slot = s.slice.ref.slot;
    const bool at_the_end = s.slice.ref.layer < 0 && slot != "embed" && slot != "posEmbed";
    if (!skipped || at_the_end) continue;
    fail("BAD_ARGUMENT", "a run that starts at layer ", range.first, " would not train ",
         describe(s.slice.ref));
  }
  return backward<T>(ctx, *model_, batch, {}, edits, {}, objective, &map_, range, {}, recompute);
}

template <class T>
UpdateResult Trainer<T>::update(Context& ctx, const UpdateRequest& r) {
  double squares = 0;
  for (const State& s : states_) {
    double part = 0;
    ops::sum_of_squares(ctx, ops::SumOfSquares<T>{
                                 .out = &part, .x = s.gradient.data(), .count = s.gradient.size()});
    squares += part;
  }
  const double norm = std::sqrt(squares) * std::abs(r.gradient_scale);
  if (!std::isfinite(norm)) {
    for (State& s : states_) zero_bytes(ctx, s.gradient.data(), s.gradient.bytes());
    fail("NON_FINITE", "the gradient's norm is ", norm, " at step ", step_ + 1,
         "; no weight was changed; use a smaller learning rate or look at the batch");
  }
  const double clip = r.clip > 0 && norm > r.clip ? r.clip / norm : 1.0;
  ++step_;
  const auto t = static_cast<double>(step_);
  for (State& s : states_) {
    ops::adamw(ctx, ops::AdamW<T>{.w = s.parameter->packed(),
                                  .master = s.master.data(),
                                  .n0 = s.slice.n0,
                                  .k0 = s.slice.k0,
                                  .gradient = s.gradient.m,
                                  .m = s.m.data(),
                                  .v = s.v.data(),
                                  .factor = r.gradient_scale * clip,
                                  .lr = r.lr,
                                  .beta1 = r.beta1,
                                  .beta2 = r.beta2,
                                  .eps = r.eps,
                                  .weight_decay = r.weight_decay,
                                  .correction1 = 1 - std::pow(r.beta1, t),
                                  .correction2 = 1 - std::pow(r.beta2, t)});
  }
  return {norm, step_};
}

template <class T>
TrainerState<T> Trainer<T>::read(Context& ctx) const {
  TrainerState<T> out;
  out.step = step_;
  for (const State& s : states_) {
    out.gradients.push_back(values_of(ctx, s.gradient));
    out.first_moments.push_back(values_of(ctx, s.m));
    out.second_moments.push_back(values_of(ctx, s.v));
    out.values.push_back(values_of(ctx, read_values(ctx, s)));
  }
  return out;
}

template <class T>
Tensor<T> Trainer<T>::read_values(Context& ctx, const State& s) {
  Tensor<T> values(s.gradient.rows(), s.gradient.cols());
  ops::read_slice(ctx, ops::ReadSlice<T>{.out = values.m,
                                         .w = s.parameter->packed(),
                                         .n0 = s.slice.n0,
                                         .k0 = s.slice.k0,
                                         .master = s.master.data()});
  return values;
}

template <class T>
void Trainer<T>::write(Context& ctx, const TrainerState<T>& state) {
  const size_t count = states_.size();
  if (state.gradients.size() != count || state.first_moments.size() != count ||
      state.second_moments.size() != count || state.values.size() != count) {
    fail("BAD_ARGUMENT", "trainer state has ", state.values.size(), " slices, expected ", count);
  }
  for (size_t i = 0; i < count; ++i) {
    State& s = states_[i];
    fill(ctx, s.gradient, state.gradients[i], s.slice, "gradient");
    fill(ctx, s.m, state.first_moments[i], s.slice, "first moment");
    fill(ctx, s.v, state.second_moments[i], s.slice, "second moment");
    const Tensor<T> values = s.master ? s.master : Tensor<T>(s.gradient.rows(), s.gradient.cols());
    fill(ctx, values, state.values[i], s.slice, "value");
    ops::write_slice(
        ctx,
        ops::WriteSlice<T>{
            .w = s.parameter->packed(), .values = values.m, .n0 = s.slice.n0, .k0 = s.slice.k0});
  }
  step_ = state.step;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace keyheads
