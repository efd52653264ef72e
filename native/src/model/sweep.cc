#include "model/sweep.h"

#include <algorithm>

#include "base/check.h"

namespace keyheads {
namespace {

// Items are cut so that all rows of a chunk's variants stay near this many numbers.
constexpr int64_t kChunkNumbers = int64_t{16} << 20;

template <class T>
void check(const Model<T>& model, const SweepRequest<T>& r) {
  const Spec& s = model.spec;
  const int64_t rows = r.all_positions ? r.batch.rows() : r.batch.items();
  for (size_t b = 0; b < r.banks.size(); ++b) {
    const auto z = static_cast<int64_t>(r.banks[b].z.size());
    const auto mlp = static_cast<int64_t>(r.banks[b].mlp.size());
    const int64_t want_z = s.layers * rows * s.q_width(), want_mlp = s.layers * rows * s.d_model;
    if ((z && z != want_z) || (mlp && mlp != want_mlp)) {
      fail("BAD_ARGUMENT", "sweep: bank ", b, " has ", z, " and ", mlp, " numbers, expected ",
           want_z, " for z and ", want_mlp, " for the MLPs, or none");
    }
  }
  for (const auto& variant : r.variants) {
    for (const VariantEdit& e : variant) {
      if (e.layer < 0 || e.layer >= s.layers || e.head < -1 || e.head >= s.heads) {
        fail("BAD_ARGUMENT", "sweep: layer ", e.layer, ", head ", e.head, " does not exist; this ",
             "model has ", s.layers, " layers of ", s.heads, " heads");
      }
      const auto banks = static_cast<int32_t>(r.banks.size());
      if (e.bank < -1 || e.bank >= banks ||
          (e.bank >= 0 && (e.head < 0 ? r.banks[e.bank].mlp : r.banks[e.bank].z).empty())) {
        fail("BAD_ARGUMENT", "sweep: bank ", e.bank, " has no ", e.head < 0 ? "mlp" : "z");
      }
    }
  }
  if (r.readout.logits == LogitsWanted::tokens &&
      static_cast<int64_t>(r.readout.tokens.size()) % std::max<int64_t>(r.batch.items(), 1) != 0) {
    fail("BAD_ARGUMENT", "sweep: ", r.readout.tokens.size(), " tokens to read for ",
         r.batch.items(), " items");
  }
}

// Width of what one item reads in one variant.
template <class T>
int64_t logits_width(const Model<T>& model, const SweepRequest<T>& r) {
  if (r.readout.logits == LogitsWanted::none) return 0;
  if (r.readout.logits == LogitsWanted::all) return model.spec.vocab;
  return static_cast<int64_t>(r.readout.tokens.size()) / r.batch.items();
}

template <class T>
void size_for(const Context& ctx, ReadoutResult<T>& out, const Readout& readout, int64_t width,
              int64_t rows) {
  if (ctx.planning) {
    const auto size = static_cast<int64_t>(sizeof(T));
    return MemoryPlan::count(
        rows * (width * size + (readout.argmax ? 4 : 0) + (readout.logsumexp ? size : 0)));
  }
  out.logits.resize(static_cast<size_t>(rows * width));
  if (readout.argmax) out.argmax.resize(static_cast<size_t>(rows));
  if (readout.logsumexp) out.logsumexp.resize(static_cast<size_t>(rows));
}

template <class V>
void copy_rows(const V& from, V& to, int64_t from_row, int64_t to_row, int64_t rows,
               int64_t width) {
  std::copy_n(from.begin() + from_row * width, rows * width, to.begin() + to_row * width);
}

}  // namespace

template <class T>
Readout SweepChunk<T>::readout_of(int64_t copies) const {
  Readout out = request.readout;
  const int64_t width =
      request.readout.logits == LogitsWanted::tokens
          ? static_cast<int64_t>(request.readout.tokens.size()) / request.batch.items()
          : 0;
  out.tokens.clear();
  out.rows.assign(static_cast<size_t>(copies * batch.items()), 0);  // only their number counts
  for (int64_t c = 0; c < copies; ++c) {
    const auto begin = request.readout.tokens.begin() + first_item * width;
    out.tokens.insert(out.tokens.end(), begin, begin + batch.items() * width);
  }
  return out;
}

template <class T>
void SweepChunk<T>::store(const ReadoutResult<T>& from, const std::vector<int64_t>& which) const {
  const int64_t items = batch.items(), all = request.batch.items();
  const int64_t width = static_cast<int64_t>(result.base.logits.size()) / all;
  for (size_t i = 0; i < which.size(); ++i) {
    const int64_t source = static_cast<int64_t>(i) * items, target = which[i] * all + first_item;
    if (!from.logits.empty()) {
      copy_rows(from.logits, result.variants.logits, source, target, items, width);
    }
    if (!from.argmax.empty()) {
      copy_rows(from.argmax, result.variants.argmax, source, target, items, 1);
    }
    if (!from.logsumexp.empty()) {
      copy_rows(from.logsumexp, result.variants.logsumexp, source, target, items, 1);
    }
  }
}

template <class T>
void SweepChunk<T>::store_base(const ReadoutResult<T>& from) const {
  const int64_t items = batch.items();
  const int64_t width = static_cast<int64_t>(result.base.logits.size()) / request.batch.items();
  if (!from.logits.empty()) {
    copy_rows(from.logits, result.base.logits, 0, first_item, items, width);
  }
  if (!from.argmax.empty()) copy_rows(from.argmax, result.base.argmax, 0, first_item, items, 1);
  if (!from.logsumexp.empty()) {
    copy_rows(from.logsumexp, result.base.logsumexp, 0, first_item, items, 1);
  }
}

template <class T>
SweepResult<T> sweep(Context& ctx, const Model<T>& model, const SweepRequest<T>& request) {
  check(model, request);
  const int64_t items = request.batch.items();
  const auto variants = static_cast<int64_t>(request.variants.size());
  const int64_t width = items ? logits_width(model, request) : 0;
  SweepResult<T> result;
  size_for(ctx, result.base, request.readout, width, items);
  size_for(ctx, result.variants, request.readout, width, variants * items);

  // Where only END can change, or nothing but END is read and positions cannot interact.
  const bool rows_suffice = !request.all_positions || request.freeze != Freeze::none;
  const Spec& s = model.spec;
  const int64_t widest = std::max(s.d_model, s.d_mlp);
  Context quiet = ctx;
  quiet.progress = nullptr;
  int64_t first = 0;
  while (first < items) {
    int64_t last = first, numbers = 0;
    while (last < items && (last == first || numbers < kChunkNumbers)) {
      const int64_t length = request.batch.length(last);
      numbers += rows_suffice ? variants * widest + s.layers * length * (s.d_model + s.kv_width())
                              : s.layers * length * s.d_model;
      ++last;
    }
    Batch batch;
    const int32_t base = request.batch.offsets[first];
    batch.tokens.assign(request.batch.tokens.begin() + base,
                        request.batch.tokens.begin() + request.batch.offsets[last]);
    for (int64_t i = first; i <= last; ++i) {
      batch.offsets.push_back(request.batch.offsets[i] - base);
    }
    const SweepChunk<T> chunk{request, std::move(batch), first, base, result};
    check_cancelled(ctx);
    rows_suffice ? sweep_rows(quiet, model, chunk) : sweep_sequences(quiet, model, chunk);
    first = last;
    if (ctx.progress) ctx.progress(first, items);
  }
  return result;
}

template SweepResult<float> sweep(Context&, const Model<float>&, const SweepRequest<float>&);
template SweepResult<double> sweep(Context&, const Model<double>&, const SweepRequest<double>&);
template struct SweepChunk<float>;
template struct SweepChunk<double>;

}  // namespace keyheads
