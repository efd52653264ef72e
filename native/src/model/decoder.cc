#include "model/decoder.h"

#include "base/check.h"

namespace keyheads {

template <class T>
Decoder<T>::Decoder(const Model<T>& model, Graph<T>& graph, const Batch& batch, Taps<T>& taps,
                    KvCache<T>* cache)
    : model_(model), spec_(model.spec), graph_(graph), batch_(batch), taps_(taps), cache_(cache) {
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
    pattern_.size += spec_.heads * n * n;
  }
  for (const int32_t token : batch.tokens) {
    if (token < 0 || token >= spec_.vocab) {
      fail("BAD_ARGUMENT", "token id ", token, " is outside the vocabulary of ", spec_.vocab);
    }
  }
}

template <class T>
Var<T> Decoder<T>::embed() {
  const Weights<T>& w = model_.weights;
  Var<T> x = tap(Hook::embed, -1, graph_.embed(*w.embed, batch_.tokens));
  if (!spec_.rotary) {
    x = graph_.add(x, tap(Hook::pos_embed, -1, graph_.embed(*w.pos_embed, positions_)));
  }
  return x;
}

template <class T>
Var<T> Decoder<T>::norm(const Var<T>& x, const NormWeights& w) {
  const T eps = static_cast<T>(spec_.norm_eps);
  if (!taps_.wanted(w.scale, w.layer) && !taps_.wanted(w.normalized, w.layer)) {
    return graph_.norm(x, w.gain, w.bias, eps, spec_.layer_norm);
  }
  auto [mean, scale] = graph_.norm_scale(x, eps, spec_.layer_norm);
  scale = tap(w.scale, w.layer, scale);
  const Var<T> normalized =
      tap(w.normalized, w.layer, graph_.norm_divide(x, mean, scale, spec_.layer_norm));
  return graph_.norm_affine(normalized, w.gain, w.bias);
}

template <class T>
typename Decoder<T>::Qkv Decoder<T>::project(int64_t layer, const Var<T>& x) {
  const LayerWeights<T>& w = model_.weights.layers[layer];
  for (const Hook hook : {Hook::attn_in, Hook::q_input}) {
    show(hook, layer, [&] { return graph_.repeat(x, spec_.heads); });
  }
  for (const Hook hook : {Hook::k_input, Hook::v_input}) {
    show(hook, layer, [&] { return graph_.repeat(x, spec_.kv_heads); });
  }
  const Var<T> n =
      norm(x, {*w.attn_norm, w.attn_norm_bias, Hook::ln1_scale, Hook::ln1_normalized, layer});
  return {graph_.linear(n, *w.wq, w.bq), graph_.linear(n, *w.wk, w.bk),
          graph_.linear(n, *w.wv, w.bv)};
}

// Every head reads a copy of the residual stream of its own: (m, heads, d). All heads' projections
// of every copy are computed and each copy keeps its head's, so this is the slow way.
template <class T>
typename Decoder<T>::Qkv Decoder<T>::project_split(int64_t layer, const Var<T>& x) {
  if (taps_.wanted(Hook::ln1_scale, layer) || taps_.wanted(Hook::ln1_normalized, layer)) {
    fail("BAD_ARGUMENT", "layer ", layer, ": ln1 hooks cannot be combined with edits or gradients ",
         "at hook_attn_in, hook_q_input, hook_k_input or hook_v_input, where every head has a ",
         "norm of its own; use two runs");
  }
  const LayerWeights<T>& w = model_.weights.layers[layer];
  const bool shared_input = taps_.wanted(Hook::attn_in, layer);
  const Var<T> attn_in =
      shared_input ? tap(Hook::attn_in, layer, graph_.repeat(x, spec_.heads)) : Var<T>{};
  const auto side = [&](Hook hook, int64_t heads, const Parameter<T>& weight,
                        const Parameter<T>* bias) {
    const Var<T> copies =
        tap(hook, layer, shared_input ? graph_.alias(attn_in) : graph_.repeat(x, heads));
    const Var<T> rows = graph_.reshape(copies, x.rows() * heads, x.cols());
    const Var<T> n = graph_.norm(rows, *w.attn_norm, w.attn_norm_bias,
                                 static_cast<T>(spec_.norm_eps), spec_.layer_norm);
    return graph_.collect_heads(graph_.linear(n, weight, bias), heads);
  };
  return {side(Hook::q_input, spec_.heads, *w.wq, w.bq),
          side(Hook::k_input, spec_.kv_heads, *w.wk, w.bk),
          side(Hook::v_input, spec_.kv_heads, *w.wv, w.bv)};
}

template <class T>
Var<T> Decoder<T>::attend(int64_t layer, const Var<T>& q, const Var<T>& k, const Var<T>& v) {
  std::vector<ops::Segment<T>>& segments = segments_;
  for (int64_t item = 0; cache_ && item < batch_.items(); ++item) {
    const int64_t row = batch_.offsets[item];
    cache_->append(layer, item, k.m().row(row), v.m().row(row), batch_.length(item));
    segments[item].past_k = cache_->keys(layer, item);
    segments[item].past_v = cache_->values(layer, item);
  }
  const typename Graph<T>::Heads heads{segments, spec_.heads, spec_.kv_heads, spec_.d_head,
                                       static_cast<T>(spec_.attention_scale)};
  if (!taps_.wanted(Hook::attn_scores, layer) && !taps_.wanted(Hook::pattern, layer)) {
    return graph_.attention(q, k, v, heads);
  }
  if (cache_) {
    fail("BAD_ARGUMENT", "hook_attn_scores and hook_pattern are not available with a cache; ",
         "run the whole sequence without one");
  }
  const Var<T> scores =
      tap(Hook::attn_scores, layer,
          graph_.attention_scores(q, k, heads, pattern_.offsets, pattern_.size), &pattern_);
  const Var<T> pattern = tap(Hook::pattern, layer,
                             graph_.attention_softmax(scores, heads, pattern_.offsets), &pattern_);
  return graph_.attention_mix(pattern, v, heads, pattern_.offsets);
}

template <class T>
Var<T> Decoder<T>::attention_z(int64_t layer, const Var<T>& x) {
  const bool split = taps_.changed(Hook::attn_in, layer) || taps_.changed(Hook::q_input, layer) ||
                     taps_.changed(Hook::k_input, layer) || taps_.changed(Hook::v_input, layer);
  auto [q, k, v] = split ? project_split(layer, x) : project(layer, x);
  q = tap(Hook::q, layer, q);
  k = tap(Hook::k, layer, k);
  v = tap(Hook::v, layer, v);
  if (spec_.rotary) {
    q = tap(Hook::rot_q, layer,
            graph_.rotary(q, positions_, model_.cosines, model_.sines, spec_.heads));
    k = tap(Hook::rot_k, layer,
            graph_.rotary(k, positions_, model_.cosines, model_.sines, spec_.kv_heads));
  }
  return tap(Hook::z, layer, attend(layer, q, k, v));
}

template <class T>
Var<T> Decoder<T>::attention_out(int64_t layer, const Var<T>& z) {
  const LayerWeights<T>& w = model_.weights.layers[layer];
  const auto results = [&] {
    const Var<T> each = graph_.linear(graph_.spread_heads(z, spec_.heads), *w.wo, nullptr);
    return graph_.reshape(each, z.rows(), spec_.heads * spec_.d_model);
  };
  Var<T> out;
  if (taps_.changed(Hook::result, layer)) {
    const Var<T> each = tap(Hook::result, layer, results());
    out = graph_.add_bias(graph_.sum_heads(each, spec_.heads), w.bo);
  } else {
    show(Hook::result, layer, results);
    out = graph_.linear(z, *w.wo, w.bo);
  }
  return tap(Hook::attn_out, layer, tap(Hook::attn_out_raw, layer, out));
}

template <class T>
Var<T> Decoder<T>::mlp_block(int64_t layer, const Var<T>& x) {
  const LayerWeights<T>& w = model_.weights.layers[layer];
  const Var<T> in =
      taps_.wanted(Hook::mlp_in, layer) ? tap(Hook::mlp_in, layer, graph_.alias(x)) : x;
  const Var<T> n =
      norm(in, {*w.mlp_norm, w.mlp_norm_bias, Hook::ln2_scale, Hook::ln2_normalized, layer});
  Var<T> pre, linear;
  if (spec_.gated) {
    pre = graph_.linear(n, *w.w_gate, w.b_gate);
    linear = tap(Hook::mlp_pre_linear, layer, graph_.linear(n, *w.w_up, w.b_up));
  } else {
    pre = graph_.linear(n, *w.w_up, w.b_up);
  }
  pre = tap(Hook::mlp_pre, layer, pre);
  const Var<T> post = tap(Hook::mlp_post, layer, graph_.activate(pre, linear, spec_.activation));
  const Var<T> out = graph_.linear(post, *w.w_down, w.b_down);
  return tap(Hook::mlp_out, layer, tap(Hook::mlp_out_raw, layer, out));
}

template <class T>
Var<T> Decoder<T>::block(int64_t layer, Var<T> x, const std::vector<int32_t>* only) {
  check_cancelled(graph_.context());
  x = tap(Hook::resid_pre, layer, x);
  Var<T> z = attention_z(layer, x);
  if (only) {
    z = graph_.gather_rows(z, *only);
    x = graph_.gather_rows(x, *only);
  }
  const Var<T> mid = tap(Hook::resid_mid, layer, graph_.add(x, attention_out(layer, z)));
  return tap(Hook::resid_post, layer, graph_.add(mid, mlp_block(layer, mid)));
}

template <class T>
Var<T> Decoder<T>::run(const std::vector<int32_t>& rows) {
  const int64_t last = spec_.layers - 1;
  // Nobody sees the rows of the last block that are not read.
  const bool prune =
      static_cast<int64_t>(rows.size()) < batch_.rows() && !taps_.wanted_after_attention(last);
  Var<T> x = embed();
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    x = block(layer, x, prune && layer == last ? &rows : nullptr);
    if (graph_.context().progress) graph_.context().progress(layer + 1, spec_.layers);
  }
  for (int64_t item = 0; cache_ && item < batch_.items(); ++item) {
    cache_->advance(item, batch_.length(item));
  }
  return prune ? final_norm_of(x) : final_norm(x, rows);
}

template <class T>
Var<T> Decoder<T>::final_norm_of(const Var<T>& rows) {
  const Weights<T>& w = model_.weights;
  return norm(rows, {*w.final_norm, w.final_norm_bias, Hook::ln_final_scale,
                     Hook::ln_final_normalized, -1});
}

template <class T>
Var<T> Decoder<T>::final_norm(const Var<T>& x, const std::vector<int32_t>& rows) {
  const bool hooked =
      taps_.wanted(Hook::ln_final_scale, -1) || taps_.wanted(Hook::ln_final_normalized, -1);
  return hooked ? graph_.gather_rows(final_norm_of(x), rows)  // hooks see every row
                : final_norm_of(graph_.gather_rows(x, rows));
}

template class Decoder<float>;
template class Decoder<double>;

}  // namespace keyheads
