// Variants whose edits reach every position: whole sequences, from the first edited layer on, with
// the base run's residual stream below it.
#include <algorithm>

#include "model/sweep.h"

namespace keyheads {
namespace {

template <class T>
Edit<T> edit_of(const Model<T>& model, const SweepChunk<T>& chunk, const VariantEdit& v) {
  Edit<T> edit;
  edit.site.layer = v.layer;
  if (v.head >= 0) edit.site.heads = {static_cast<int32_t>(v.head)};
  edit.site.hook = v.head < 0 ? Hook::mlp_out_raw : Hook::z;
  edit.op = v.bank < 0 ? EditOp::zero : EditOp::set;
  if (v.bank < 0) return edit;
  const Bank<T>& bank = chunk.request.banks[v.bank];
  const std::vector<T>& from = v.head < 0 ? bank.mlp : bank.z;
  const int64_t cols = v.head < 0 ? model.spec.d_model : model.spec.q_width();
  const int64_t width = v.head < 0 ? cols : model.spec.d_head;
  const int64_t start = v.head < 0 ? 0 : v.head * width;
  for (int64_t r = 0; r < chunk.batch.rows(); ++r) {
    const int64_t row = v.layer * chunk.bank_rows() + chunk.first_row + r;
    const auto begin = from.begin() + row * cols + start;
    edit.value.insert(edit.value.end(), begin, begin + width);
  }
  return edit;
}

}  // namespace

template <class T>
void sweep_sequences(Context& ctx, const Model<T>& model, const SweepChunk<T>& chunk) {
  const int64_t layers = model.spec.layers;
  const std::vector<Site> none;
  Graph<T> graph(ctx, nullptr, nullptr);
  std::vector<int32_t> ends;
  for (int64_t i = 0; i < chunk.batch.items(); ++i) {
    ends.push_back(chunk.batch.offsets[i + 1] - 1);
  }
  const Readout readout = chunk.readout_of(1);
  const auto read = [&](Decoder<T>& decoder, const Var<T>& x) {
    ReadoutResult<T> out;
    read_logits<T>(ctx, model, decoder.final_norm(x, ends).m(), readout, out);
    return out;
  };

  std::vector<Var<T>> entering;  // resid_pre of every layer, then the last resid_post
  {
    const std::vector<Edit<T>> no_edits;
    Taps<T> taps(ctx, model.spec, chunk.batch, none, no_edits, none);
    Decoder<T> decoder(model, graph, chunk.batch, taps, nullptr);
    entering.push_back(decoder.embed());
    for (int64_t l = 0; l < layers; ++l) entering.push_back(decoder.block(l, entering.back()));
    chunk.store_base(read(decoder, entering.back()));
  }
  for (size_t v = 0; v < chunk.request.variants.size(); ++v) {
    if (ctx.planning && v > 0) break;  // all need the same memory
    std::vector<Edit<T>> edits;
    int64_t first = layers;
    for (const VariantEdit& e : chunk.request.variants[v]) {
      edits.push_back(edit_of(model, chunk, e));
      first = std::min<int64_t>(first, e.layer);
    }
    Taps<T> taps(ctx, model.spec, chunk.batch, none, edits, none);
    Decoder<T> decoder(model, graph, chunk.batch, taps, nullptr);
    Var<T> x = entering[first];
    for (int64_t l = first; l < layers; ++l) x = decoder.block(l, x);
    taps.check_all_fired();
    chunk.store(read(decoder, x), {static_cast<int64_t>(v)});
  }
}

template void sweep_sequences(Context&, const Model<float>&, const SweepChunk<float>&);
template void sweep_sequences(Context&, const Model<double>&, const SweepChunk<double>&);

}  // namespace keyheads
