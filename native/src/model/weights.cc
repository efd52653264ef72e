#include "model/weights.h"

#include <algorithm>

#include "base/check.h"
#include "base/tensor.h"
#include "model/load.h"
#include "model/stream.h"
#include "ops/linear.h"

namespace keyheads {
template <class T>
int64_t stored_bytes(const Context& ctx, const Weight<T>& w) {
  if (!ctx.device) return w.bytes();
  const auto element =
      static_cast<int64_t>(w.storage == Storage::bf16 ? sizeof(uint16_t) : sizeof(T));
  return w.n * w.k * element;
}
template int64_t stored_bytes(const Context&, const Weight<float>&);
template int64_t stored_bytes(const Context&, const Weight<double>&);

template <class T>
Parameter<T>::Parameter(const Context& ctx, SlotRef slot, int64_t n, int64_t k, Storage storage,
                        std::optional<Unread> unread)
    : ref(std::move(slot)),
      w_{nullptr, n, k, k == 1 ? Storage::full : storage},
      hold_(allocate(static_cast<size_t>(stored_bytes(ctx, w_)), Purpose::weights)),
      unread_(std::move(unread)) {
  w_.data = hold_.get();
}

template <class T>
const Weight<T>& Parameter<T>::weight(Context& ctx) const {
  if (unread_ && !ctx.planning) {
    load_weight(ctx, *unread_->files, unread_->parts, w_);
    unread_.reset();
  }
  return w_;
}

template <class T>
void read_parameter(Context& ctx, const Parameter<T>& p, T* out) {
  write_to_host<T>(ctx, {out, p.n(), p.k(), p.k()}, [&](const Mat<T>& matrix) {
    ops::unpack(ctx, ops::Unpack<T>{.matrix = matrix, .w = p.weight(ctx)});
  });
}

template <class T>
void write_parameter(Context& ctx, const Parameter<T>& p, const T* values) {
  const auto pack = [&](const T* from) {
    ops::pack(ctx, ops::Pack<T>{.w = p.weight(ctx), .matrix = {from, p.n(), p.k(), p.k()}});
  };
  if (!ctx.device) return pack(values);
  const Tensor<T> there(p.n(), p.k());
  bytes_from_host(ctx, there.data(), values, there.bytes());
  pack(there.data());
}

template <class T>
Weights<T>::Weights(Context& ctx, const Spec& spec, const std::vector<TensorSource>& sources,
                    Storage storage) {
  std::map<SlotRef, std::vector<TensorSource>> given;
  for (const auto& source : sources) given[source.ref].push_back(source);
  const auto total = static_cast<int64_t>(given.size());
  int64_t done = 0;
  const auto files = std::make_shared<Files>();
  const auto take = [&](const SlotShape& shape, int64_t layer) -> const Parameter<T>* {
    const SlotRef ref{shape.slot, layer, shape.expert};
    const auto found = given.find(ref);
    if (found == given.end()) {
      if (shape.required) fail("BAD_CHECKPOINT", describe(ref), " is missing");
      return nullptr;
    }
    check_cancelled(ctx);
    check_sources(*files, ref, shape.rows, shape.cols, found->second);
    std::optional<Unread> unread;
    if (!ctx.planning) unread = Unread{files, std::move(found->second)};
    auto parameter = std::make_shared<Parameter<T>>(ctx, ref, shape.rows, shape.cols, storage,
                                                    std::move(unread));
    if (shape.cols == 1 || ctx.device || !can_stream(*parameter)) parameter->weight(ctx);
    given.erase(found);
    if (ctx.progress) ctx.progress(++done, total);
    return (all_[ref] = std::move(parameter)).get();
  };
  for (const auto& shape : model_slots(spec)) take(shape, -1);
  const auto model_slot = [&](const char* slot) { return find({slot, -1}); };
  embed = model_slot("embed");
  pos_embed = model_slot("posEmbed");
  final_norm = model_slot("finalNorm");
  final_norm_bias = model_slot("finalNormBias");
  unembed = spec.tied ? embed : model_slot("unembed");
  unembed_bias = model_slot("unembedBias");
  for (int64_t l = 0; l < spec.layers; ++l) {
    for (const auto& shape : layer_slots(spec)) take(shape, l);
    const auto slot = [&](const char* name) { return find({name, l}); };
    const auto mlp = [&](int64_t expert) {
      const auto of = [&](const char* name) { return find({name, l, expert}); };
      return MlpWeights<T>{of("wGate"), of("wUp"), of("wDown"),
                           of("bGate"), of("bUp"), of("bDown")};
    };
    LayerWeights<T>& layer = layers.emplace_back();
    layer = {.attn_norm = slot("attnNorm"),
             .attn_norm_bias = slot("attnNormBias"),
             .wq = slot("wq"),
             .wk = slot("wk"),
             .wv = slot("wv"),
             .wo = slot("wo"),
             .bq = slot("bq"),
             .bk = slot("bk"),
             .bv = slot("bv"),
             .bo = slot("bo"),
             .q_norm = slot("qNorm"),
             .k_norm = slot("kNorm"),
             .attn_post_norm = slot("attnPostNorm"),
             .mlp_norm = slot(spec.shared_norm ? "attnNorm" : "mlpNorm"),
             .mlp_norm_bias = slot(spec.shared_norm ? "attnNormBias" : "mlpNormBias"),
             .mlp = mlp(-1),
             .mlp_post_norm = slot("mlpPostNorm"),
             .router = slot("router"),
             .experts = {},
             .z_offset = nullptr};
    for (int64_t e = 0; e < spec.experts; ++e) layer.experts.push_back(mlp(e));
  }
  if (!given.empty()) {
    fail("BAD_CHECKPOINT", describe(given.begin()->first), " is no slot of this model");
  }
}

template <class T>
const Parameter<T>* Weights<T>::find(const SlotRef& ref) const {
  const auto found = all_.find(ref);
  return found == all_.end() ? nullptr : found->second.get();
}

template <class T>
const Parameter<T>& Weights<T>::at(const SlotRef& ref) const {
  const auto* parameter = find(ref);
  if (!parameter) fail("BAD_ARGUMENT", "this model has no weight ", describe(ref));
  return *parameter;
}

template <class T>
std::shared_ptr<const Parameter<T>> Weights<T>::share(const SlotRef& ref) const {
  at(ref);
  return all_.find(ref)->second;
}

template <class T>
Parameter<T>& Weights<T>::add(Context& ctx, const SlotRef& ref, int64_t rows, int64_t cols) {
  if (find(ref)) fail("BAD_ARGUMENT", "this model has ", describe(ref), " already");
  auto parameter = std::make_shared<Parameter<T>>(ctx, ref, rows, cols, Storage::full);
  const Weight<T>& w = parameter->packed();
  zero_bytes(ctx, w.data, static_cast<size_t>(stored_bytes(ctx, w)));
  additions_.push_back(ref);
  return *(all_[ref] = std::move(parameter));
}

template <class T>
void Weights<T>::add_low_rank(Context& ctx, const SlotRef& ref, int64_t rank, double scale) {
  const Parameter<T>& w = at(ref);
  if (ref.layer < 0 || w.k() == 1 || w.low_rank) {
    fail("BAD_ARGUMENT", describe(ref), " cannot be given low-rank factors: ",
         w.low_rank ? "it has some" : "it is no matrix of a layer");
  }
  if (rank < 1 || rank > std::min(w.n(), w.k())) {
    fail("BAD_ARGUMENT", "rank ", rank, " of ", describe(ref), ": expected 1 to ",
         std::min(w.n(), w.k()));
  }
  const Parameter<T>& a = add(ctx, {ref.slot + ".loraA", ref.layer, ref.expert}, rank, w.k());
  const Parameter<T>& b = add(ctx, {ref.slot + ".loraB", ref.layer, ref.expert}, w.n(), rank);
  all_.at(ref)->low_rank = LowRank<T>{&a, &b, static_cast<T>(scale)};
}

template <class T>
void Weights<T>::add_z_offset(Context& ctx, int64_t layer, int64_t width) {
  if (layer < 0 || layer >= static_cast<int64_t>(layers.size())) {
    fail("BAD_ARGUMENT", "layer ", layer, ": expected 0 to ", layers.size() - 1);
  }
  layers[static_cast<size_t>(layer)].z_offset = &add(ctx, {"zOffset", layer}, width, 1);
}

template <class T>
void Weights<T>::remove_additions() {
  for (const SlotRef& ref : additions_) all_.erase(ref);
  additions_.clear();
  for (auto& [ref, parameter] : all_) parameter->low_rank.reset();
  for (auto& layer : layers) layer.z_offset = nullptr;
}

template class Parameter<float>;
template class Parameter<double>;
template class Weights<float>;
template class Weights<double>;
template void read_parameter(Context&, const Parameter<float>&, float*);
template void read_parameter(Context&, const Parameter<double>&, double*);
template void write_parameter(Context&, const Parameter<float>&, const float*);
template void write_parameter(Context&, const Parameter<double>&, const double*);

}  // namespace keyheads
