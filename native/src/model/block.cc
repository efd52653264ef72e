#include "model/block.h"

#include <algorithm>

#include "base/check.h"

namespace keyheads {

template <class T>
Block<T>::Block(const Model<T>& model, Graph<T>& graph, Taps<T>& taps)
    : model_(model),
      spec_(model.spec),
      graph_(graph),
      taps_(taps),
      norm_kind_{static_cast<T>(spec_.norm_eps), static_cast<T>(spec_.norm_plus_one ? 1 : 0),
                 spec_.layer_norm} {}

template <class T>
Var<T> Block<T>::norm(const Var<T>& x, const Norm& n) {
  if (!taps_.wanted(n.scale, n.layer) && !taps_.wanted(n.normalized, n.layer)) {
    return graph_.norm(x, *n.gain, n.bias, norm_kind_);
  }
  auto [mean, scale] = graph_.norm_scale(x, norm_kind_);
  scale = tap(n.scale, n.layer, std::move(scale));
  const Var<T> normalized =
      tap(n.normalized, n.layer, graph_.norm_divide(x, mean, scale, norm_kind_));
  return graph_.norm_affine(normalized, *n.gain, n.bias, norm_kind_);
}

template <class T>
Var<T> Block<T>::attention_in(int64_t layer, const Var<T>& x) {
  if (!spec_.pre_norm) return x;
  const LayerWeights<T>& w = model_.weights.layers[layer];
  return norm(x, {w.attn_norm, w.attn_norm_bias, Hook::ln1_scale, Hook::ln1_normalized, layer});
}

template <class T>
Var<T> Block<T>::mlp_in(int64_t layer, const Var<T>& x) {
  const Var<T> in =
      taps_.wanted(Hook::mlp_in, layer) ? tap(Hook::mlp_in, layer, graph_.alias(x)) : x;
  if (!spec_.pre_norm) return in;
  const LayerWeights<T>& w = model_.weights.layers[layer];
  return norm(in, {w.mlp_norm, w.mlp_norm_bias, Hook::ln2_scale, Hook::ln2_normalized, layer});
}

template <class T>
bool Block<T>::share_norm(int64_t layer) const {
  if (!spec_.parallel || !spec_.shared_norm || splits_inputs(layer)) return false;
  for (const Hook hook : {Hook::ln1_scale, Hook::ln1_normalized, Hook::mlp_in, Hook::ln2_scale,
                          Hook::ln2_normalized}) {
    if (taps_.wanted(hook, layer)) return false;
  }
  return true;
}

template <class T>
typename Block<T>::Qkv Block<T>::project(int64_t layer, const Var<T>& x, const Var<T>& in) {
  for (const Hook hook : {Hook::attn_in, Hook::q_input}) {
    show(hook, layer, [&] { return graph_.repeat(x, spec_.heads); });
  }
  for (const Hook hook : {Hook::k_input, Hook::v_input}) {
    show(hook, layer, [&] { return graph_.repeat(x, spec_.kv_heads); });
  }
  const LayerWeights<T>& w = model_.weights.layers[layer];
  return {graph_.linear(in, *w.wq, w.bq), graph_.linear(in, *w.wk, w.bk),
          graph_.linear(in, *w.wv, w.bv)};
}

template <class T>
bool Block<T>::splits_inputs(int64_t layer) const {
  return taps_.changed(Hook::attn_in, layer) || taps_.changed(Hook::q_input, layer) ||
         taps_.changed(Hook::k_input, layer) || taps_.changed(Hook::v_input, layer);
}

// The copies are (m, heads, d), and every head has a norm of its own.
template <class T>
typename Block<T>::Qkv Block<T>::project_split(int64_t layer, const Var<T>& x) {
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
    const Var<T> normed = graph_.reshape(attention_in(layer, rows), x.rows(), heads * x.cols());
    return graph_.linear_of_heads(normed, weight, bias, heads);
  };
  return {side(Hook::q_input, spec_.heads, *w.wq, w.bq),
          side(Hook::k_input, spec_.kv_heads, *w.wk, w.bk),
          side(Hook::v_input, spec_.kv_heads, *w.wv, w.bv)};
}

template <class T>
Var<T> Block<T>::head_norm(const Var<T>& x, const Parameter<T>& gain, int64_t heads) {
  if (spec_.qk_norm == QkNorm::width) return graph_.norm(x, gain, nullptr, norm_kind_);
  const Var<T> each = graph_.reshape(x, x.rows() * heads, spec_.d_head);
  if (spec_.qk_norm == QkNorm::head) {
    return graph_.reshape(graph_.norm(each, gain, nullptr, norm_kind_), x.rows(), x.cols());
  }
  // A weight for each head: divided head by head, weighted over the width.
  const auto [mean, scale] = graph_.norm_scale(each, norm_kind_);
  const Var<T> normalized = graph_.norm_divide(each, mean, scale, norm_kind_);
  return graph_.norm_affine(graph_.reshape(normalized, x.rows(), x.cols()), gain, nullptr,
                            norm_kind_);
}

template <class T>
const RotaryTables<T>& Block<T>::rotary_tables(const std::vector<int32_t>& positions) {
  const auto last = std::max_element(positions.begin(), positions.end());
  const int64_t length = last == positions.end() ? 0 : *last + 1;
  if (tables_.length() < std::max<int64_t>(length, 1)) {
    tables_ = model_.rotary(graph_.context(), length);
  }
  return tables_;
}

template <class T>
Var<T> Block<T>::placed(int64_t layer, Var<T> x, const PlacedHeads& heads,
                        const std::vector<int32_t>& positions) {
  if (heads.gain) x = head_norm(x, *heads.gain, heads.count);
  if (!spec_.rotary) return x;
  return tap(
      heads.hook, layer,
      graph_.rotary(x, positions, rotary_tables(positions), heads.count, spec_.adjacent_pairs));
}

template <class T>
Var<T> Block<T>::placed_queries(int64_t layer, const Var<T>& q,
                                const std::vector<int32_t>& positions) {
  return placed(layer, q, {Hook::rot_q, model_.weights.layers[layer].q_norm, spec_.heads},
                positions);
}

template <class T>
Var<T> Block<T>::placed_keys(int64_t layer, const Var<T>& k,
                             const std::vector<int32_t>& positions) {
  return placed(layer, k, {Hook::rot_k, model_.weights.layers[layer].k_norm, spec_.kv_heads},
                positions);
}

template <class T>
typename Graph<T>::Heads Block<T>::heads(int64_t layer,
                                         const std::vector<ops::Segment<T>>& segments) const {
  return {segments,
          spec_.heads,
          spec_.kv_heads,
          spec_.d_head,
          static_cast<T>(spec_.attention_scales[layer]),
          static_cast<T>(spec_.score_cap),
          spec_.windows[layer],
          model_.weights.layers[layer].wq->storage() == Storage::bf16};
}

template <class T>
Var<T> Block<T>::attention_raw(int64_t layer, const Var<T>& z) {
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
  return tap(Hook::attn_out_raw, layer, std::move(out));
}

template <class T>
Var<T> Block<T>::attention_out(int64_t layer, Var<T> raw) {
  const Parameter<T>* gain = model_.weights.layers[layer].attn_post_norm;
  return tap(
      Hook::attn_out, layer,
      gain ? norm(raw, {gain, nullptr, Hook::ln1_post_scale, Hook::ln1_post_normalized, layer})
           : std::move(raw));
}

template <class T>
Var<T> Block<T>::mlp(int64_t layer, const MlpWeights<T>& w, const Var<T>& in) {
  Var<T> pre, linear;
  if (spec_.gated) {
    pre = graph_.linear(in, *w.w_gate, w.b_gate);
    linear = tap(Hook::mlp_pre_linear, layer, graph_.linear(in, *w.w_up, w.b_up));
  } else {
    pre = graph_.linear(in, *w.w_up, w.b_up);
  }
  pre = tap(Hook::mlp_pre, layer, std::move(pre));
  const Var<T> post = tap(Hook::mlp_post, layer, graph_.activate(pre, linear, spec_.activation));
  return graph_.linear(post, *w.w_down, w.b_down);
}

// Every expert runs on the rows that give it a weight.
template <class T>
Var<T> Block<T>::mixture(int64_t layer, const Var<T>& in) {
  const LayerWeights<T>& w = model_.weights.layers[layer];
  const Var<T> logits = graph_.linear(in, *w.router, nullptr);
  show(Hook::expert_indices, layer,
       [&] { return graph_.choices(logits, spec_.experts_per_token); });
  const Var<T> weights =
      tap(Hook::expert_weights, layer, graph_.route(logits, spec_.experts_per_token));
  // A weight of zero has a gradient too, which a hook on the weights can see or pass on.
  const bool all = graph_.tape() && taps_.changed(Hook::expert_weights, layer);
  std::vector<Expert> experts;
  // Which experts a token goes to is not known while planning: the same for all needs the most.
  const bool planning = graph_.context().planning;
  const Tensor<T> seen = to_host(graph_.context(), weights.value);
  const auto goes = [&](int64_t row, int64_t e) {
    return all || (planning ? e < spec_.experts_per_token : seen.m.row(row)[e] != 0);
  };
  for (int64_t e = 0; e < spec_.experts; ++e) {
    std::vector<int32_t> rows;
    for (int32_t r = 0; r < in.rows(); ++r) {
      if (goes(r, e)) rows.push_back(r);
    }
    if (rows.empty()) continue;
    const Var<T> x = graph_.gather_rows(in, rows);
    experts.push_back({e, std::move(rows), x});
  }
  run_experts(layer, experts, in.rows());
  return graph_.mix(weights, experts, in.cols());
}

template <class T>
bool Block<T>::looks_inside_experts(int64_t layer) const {
  return taps_.wanted(Hook::expert_gate, layer) || taps_.wanted(Hook::expert_pre, layer) ||
         taps_.wanted(Hook::expert_post, layer);
}

// From each expert's input to its output. Where a hook looks inside, all take each step together.
template <class T>
void Block<T>::run_experts(int64_t layer, std::vector<Expert>& experts, int64_t rows) {
  const std::vector<MlpWeights<T>>& w = model_.weights.layers[layer].experts;
  if (!looks_inside_experts(layer)) {
    for (Expert& e : experts) e.y = mlp(layer, w[e.index], e.y);
    return;
  }
  std::vector<Expert> gate = experts, up = experts;
  if (spec_.gated) {
    for (Expert& e : gate) e.y = graph_.linear(e.y, *w[e.index].w_gate, w[e.index].b_gate);
    tap_experts(Hook::expert_gate, layer, gate, rows);
  }
  for (Expert& e : up) e.y = graph_.linear(e.y, *w[e.index].w_up, w[e.index].b_up);
  tap_experts(Hook::expert_pre, layer, up, rows);
  for (size_t i = 0; i < experts.size(); ++i) {
    experts[i].y = spec_.gated ? graph_.activate(gate[i].y, up[i].y, spec_.activation)
                               : graph_.activate(up[i].y, {}, spec_.activation);
  }
  tap_experts(Hook::expert_post, layer, experts, rows);
  for (Expert& e : experts) e.y = graph_.linear(e.y, *w[e.index].w_down, w[e.index].b_down);
}

// The tap sees all experts side by side, with zeros where a token does not go.
template <class T>
void Block<T>::tap_experts(Hook hook, int64_t layer, std::vector<Expert>& values, int64_t rows) {
  if (!taps_.wanted(hook, layer)) return;
  const Var<T> all =
      tap(hook, layer, graph_.spread_experts(values, rows, spec_.experts, spec_.d_mlp));
  if (!taps_.changed(hook, layer)) return;
  for (Expert& e : values) e.y = graph_.expert_rows(all, e);
}

template <class T>
Var<T> Block<T>::mlp_raw(int64_t layer, const Var<T>& in) {
  return tap(
      Hook::mlp_out_raw, layer,
      spec_.experts > 0 ? mixture(layer, in) : mlp(layer, model_.weights.layers[layer].mlp, in));
}

template <class T>
Var<T> Block<T>::mlp_out(int64_t layer, Var<T> raw) {
  const Parameter<T>* gain = model_.weights.layers[layer].mlp_post_norm;
  return tap(
      Hook::mlp_out, layer,
      gain ? norm(raw, {gain, nullptr, Hook::ln2_post_scale, Hook::ln2_post_normalized, layer})
           : std::move(raw));
}

template <class T>
Var<T> Block<T>::final_norm(const Var<T>& x) {
  const Weights<T>& w = model_.weights;
  return norm(
      x, {w.final_norm, w.final_norm_bias, Hook::ln_final_scale, Hook::ln_final_normalized, -1});
}

template class Block<float>;
template class Block<double>;

}  // namespace keyheads
