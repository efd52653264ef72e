#include "model/decoder.h"

#include "base/check.h"
#include "model/embed.h"

namespace keyheads {

template <class T>
Decoder<T>::Decoder(const Model<T>& model, Graph<T>& graph, const Batch& batch, Taps<T>& taps,
                    KvCache<T>* cache)
    : model_(model),
      spec_(model.spec),
      graph_(graph),
      batch_(batch),
      taps_(taps),
      cache_(cache),
      block_(model, graph, taps) {
  model.check_weights(graph.context());
  if (cache && cache->sequences() != batch.items()) {
    fail("BAD_ARGUMENT", "the cache holds ", cache->sequences(), " sequences, the batch has ",
         batch.items());
  }
  for (int64_t item = 0; item < batch.items(); ++item) {
    const int64_t past = cache ? cache->length(item) : 0, n = batch.length(item);
    if (n < 1) fail("BAD_ARGUMENT", "sequence ", item, " is empty");
    if (past + n > spec_.context) {
      fail("BAD_ARGUMENT", "sequence ", item, " has ", past + n, " tokens; the model's context is ",
           spec_.context);
    }
    for (int64_t i = 0; i < n; ++i) positions_.push_back(static_cast<int32_t>(past + i));
    segments_.push_back({batch.offsets[item], n, nullptr, nullptr, past});
    pattern_.offsets.push_back(pattern_.size);
    pattern_.keys.push_back(past + n);
    pattern_.size += spec_.heads * n * (past + n);
  }
  for (const int32_t token : batch.tokens) {
    if (token < 0 || token >= spec_.vocab) {
      fail("BAD_ARGUMENT", "token id ", token, " is outside the vocabulary of ", spec_.vocab);
    }
  }
}

template <class T>
Var<T> Decoder<T>::attend(int64_t layer, const Var<T>& q, const Var<T>& k, const Var<T>& v) {
  std::vector<ops::Segment<T>>& segments = segments_;
  if (cache_) cache_->append(graph_.context(), layer, batch_, k.m(), v.m());
  for (int64_t item = 0; cache_ && item < batch_.items(); ++item) {
    segments[item].past_k = cache_->keys(layer, item);
    segments[item].past_v = cache_->values(layer, item);
  }
  const typename Graph<T>::Heads heads = block_.heads(layer, segments);
  if (!taps_.wanted(Hook::attn_scores, layer) && !taps_.wanted(Hook::pattern, layer)) {
    return graph_.attention(q, k, v, heads);
  }
  const Var<T> scores =
      tap(Hook::attn_scores, layer,
          graph_.attention_scores(q, k, heads, pattern_.offsets, pattern_.size), &pattern_);
  const Var<T> pattern = tap(Hook::pattern, layer,
                             graph_.attention_softmax(scores, heads, pattern_.offsets), &pattern_);
  return graph_.attention_mix(pattern, v, heads, pattern_.offsets);
}

template <class T>
Var<T> Decoder<T>::attention_z(int64_t layer, typename Block<T>::Qkv qkv) {
  const Var<T> q = tap(Hook::q, layer, std::move(qkv.q)), k = tap(Hook::k, layer, std::move(qkv.k));
  const Var<T> v = tap(Hook::v, layer, std::move(qkv.v));
  Var<T> z = attend(layer, block_.placed_queries(layer, q, positions_),
                    block_.placed_keys(layer, k, positions_), v);
  return tap(
      Hook::z, layer,
      graph_.constant_if(graph_.rules().constant_z,
                         graph_.add_bias(std::move(z), model_.weights.layers[layer].z_offset)));
}

template <class T>
Var<T> Decoder<T>::block(int64_t layer, Var<T> x, const std::vector<int32_t>* only) {
  check_cancelled(graph_.context());
  x = tap(Hook::resid_pre, layer, std::move(x));
  const bool split = block_.splits_inputs(layer), shared = block_.share_norm(layer);
  Var<T> in = split ? Var<T>{} : block_.attention_in(layer, x);
  Var<T> z =
      attention_z(layer, split ? block_.project_split(layer, x) : block_.project(layer, x, in));
  if (only) {
    z = graph_.gather_rows(z, *only);
    x = graph_.gather_rows(x, *only);
    if (shared) in = graph_.gather_rows(in, *only);
  }
  const Var<T> attn = block_.attention_out(layer, block_.attention_raw(layer, z));
  Var<T> mid = graph_.add(x, attn);
  if (!spec_.parallel) mid = tap(Hook::resid_mid, layer, std::move(mid));
  if (!shared) in = block_.mlp_in(layer, spec_.parallel ? x : mid);
  in = graph_.constant_if(graph_.rules().constant_mlps, std::move(in));
  const Var<T> mlp = block_.mlp_out(layer, block_.mlp_raw(layer, in));
  return tap(Hook::resid_post, layer, graph_.add(mid, mlp));
}

template <class T>
Var<T> Decoder<T>::recomputed_block(int64_t layer, const Var<T>& x,
                                    const std::vector<int32_t>* only) {
  if (!x.grad && !graph_.selects(layer)) return block(layer, x, only);
  const Var<T> seen =
      graph_.with_tape(nullptr, [&] { return block(layer, graph_.constant(x.value), only); });
  const Var<T> y{seen.value, std::make_shared<Grad<T>>()};
  graph_.tape()->record([this, layer, x, only, grad = y.grad] {
    if (!grad->tensor) return;
    Tape inner;
    graph_.with_tape(&inner, [&] {
      const Var<T> again = block(layer, x, only);
      again.grad->tensor = std::move(grad->tensor);
      return 0;
    });
    inner.run_backward();
  });
  return y;
}

template <class T>
Var<T> Decoder<T>::run(const std::vector<int32_t>& rows, const Range<T>& range, bool recompute) {
  check_range(range);
  const int64_t last = spec_.layers - 1;
  // Nobody sees the rows of the last block that are not read.
  const bool prune = !range.stops() && range.first <= last &&
                     static_cast<int64_t>(rows.size()) < batch_.rows() &&
                     !taps_.wanted_after_attention(last);
  Var<T> x =
      range.starts()
          ? graph_.constant(
                to_device(graph_.context(), range.residual).reshaped(batch_.rows(), spec_.d_model))
          : embed_tokens(model_, graph_, taps_, batch_.tokens, positions_);
  const int64_t end = range.stops() ? range.last : spec_.layers;
  for (int64_t layer = range.first; layer < end; ++layer) {
    const std::vector<int32_t>* only = prune && layer == last ? &rows : nullptr;
    x = recompute ? recomputed_block(layer, x, only) : block(layer, std::move(x), only);
    if (graph_.context().progress) graph_.context().progress(layer + 1, spec_.layers);
  }
  for (int64_t item = 0; cache_ && item < batch_.items(); ++item) {
    cache_->advance(item, batch_.length(item));
  }
  if (range.stops()) return x;
  return prune ? block_.final_norm(x) : final_norm(x, rows);
}

template <class T>
void Decoder<T>::check_range(const Range<T>& range) const {
  if (range.first < 0 || range.first > spec_.layers || range.last > spec_.layers) {
    fail("BAD_ARGUMENT", "layers ", range.first, " to ", range.last, ": expected layers from 0 to ",
         spec_.layers);
  }
  if (range.stops() && range.last < range.first) {
    fail("BAD_ARGUMENT", "the run stops before layer ", range.last, " but starts at layer ",
         range.first);
  }
  if (!range.starts()) return;
  if (range.residual.size() != batch_.rows() * spec_.d_model) {
    fail("BAD_ARGUMENT", "the residual stream entering layer ", range.first, " has ",
         range.residual.size(), " numbers, expected ", batch_.rows(), " rows of ", spec_.d_model);
  }
}

template <class T>
Var<T> Decoder<T>::final_norm(const Var<T>& x, const std::vector<int32_t>& rows) {
  const bool hooked =
      taps_.wanted(Hook::ln_final_scale, -1) || taps_.wanted(Hook::ln_final_normalized, -1);
  return hooked ? graph_.gather_rows(block_.final_norm(x), rows)  // hooks see every row
                : block_.final_norm(graph_.gather_rows(x, rows));
}

template class Decoder<float>;
template class Decoder<double>;

}  // namespace keyheads
