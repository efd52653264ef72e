#include "model/model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"

namespace keyheads {

namespace {

constexpr int64_t kFirstPositions = 512;

template <class T>
void fill_tables(Context& ctx, const Spec& spec, const RotaryTables<T>& tables) {
  constexpr int64_t kPositions = 64;  // a chunk's
  const int64_t length = tables.length(), half = tables.cosines.cols();
  parallel_for(ctx, (length + kPositions - 1) / kPositions, [&](int64_t chunk) {
    const int64_t end = std::min(length, (chunk + 1) * kPositions);
    for (int64_t p = chunk * kPositions; p < end; ++p) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(p) * spec.inverse_frequencies[i];
        tables.cosines.m.row(p)[i] = static_cast<T>(spec.rotary_scale * std::cos(angle));
        tables.sines.m.row(p)[i] = static_cast<T>(spec.rotary_scale * std::sin(angle));
      }
    }
  });
}

// Computed on the host, wherever they are needed.
template <class T>
RotaryTables<T> make_tables(Context& ctx, const Spec& spec, int64_t length) {
  const auto half = static_cast<int64_t>(spec.inverse_frequencies.size());
  RotaryTables<T> tables;
  {
    const MemoryFrom host(host_memory());
    tables = {Tensor<T>(length, half), Tensor<T>(length, half)};
  }
  if (!ctx.planning) fill_tables(ctx, spec, tables);
  return {to_device(ctx, tables.cosines), to_device(ctx, tables.sines)};
}

}  // namespace

template <class T>
Model<T>::Model(Context& ctx, Spec given, const std::vector<TensorSource>& sources, Storage storage)
    : weightless(ctx.planning), spec(std::move(given)), weights(ctx, spec, sources, storage) {
  if (spec.rotary) tables_ = make_tables<T>(ctx, spec, std::min(kFirstPositions, spec.context));
}

template <class T>
RotaryTables<T> Model<T>::rotary(Context& ctx, int64_t length) const {
  if (length <= tables_.length()) return tables_;
  const auto doubled = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(length)));
  RotaryTables<T> grown = make_tables<T>(ctx, spec, std::min(doubled, spec.context));
  if (!ctx.planning) tables_ = grown;
  return grown;
}

template <class T>
void Model<T>::check_weights(const Context& ctx) const {
  if (!weightless || ctx.planning) return;
  fail("BAD_ARGUMENT", "this model was opened without weights, to plan runs; load it to run them");
}

template struct Model<float>;
template struct Model<double>;

}  // namespace keyheads
