#include "model/sweep_run.h"

#include <algorithm>
#include <numeric>

#include "model/embed.h"
#include "model/forward.h"
#include "model/sweep_inputs.h"
#include "ops/blocks.h"
#include "ops/elementwise.h"

namespace keyheads {

template <class T>
void SweepRun<T>::run(const std::vector<VariantPlan>& plans,
                      const std::function<void(double)>& progress) {
  plans_ = &plans;
  joined_ = 0;
  rows_ = {};
  x_ = {};
  const int64_t last = planner_.last_layer(), first = plans.front().first_layer;
  for (int64_t layer = first; layer < std::min(spec_.layers, last + 1); ++layer) {
    check_cancelled(ctx_);
    join(layer);
    compute(layer);
    progress(static_cast<double>(layer + 1 - first) / static_cast<double>(last + 1 - first));
  }
  if (last < spec_.layers) return;
  join(spec_.layers);
  finish();
}

template <class T>
Tensor<T> SweepRun<T>::of_base(const Tensor<T>& base, const SweepRows& rows) const {
  std::vector<int32_t> from;
  for (const Piece& piece : rows.pieces) {
    for (const int32_t p : piece.positions) from.push_back(base_.row(piece.item(), p));
  }
  Tensor<T> out(rows.count(), base.cols());
  ops::gather_rows(ctx_, ops::GatherRows<T>{.y = out.m, .x = base.m, .rows = from.data()});
  return out;
}

// The stream of variants that begin at this layer.
template <class T>
Tensor<T> SweepRun<T>::entering(const SweepRows& rows, int64_t layer) {
  if (layer == spec_.layers) return of_base(base_.last, rows);
  Tensor<T> x = of_base(base_.resid_pre[layer], rows);
  SweepRows embedding;
  std::vector<int32_t> places, tokens;
  for (size_t p = 0; p < rows.pieces.size(); ++p) {
    const Piece& piece = rows.pieces[p];
    if (layer > 0 || !piece.plan->embeds) continue;
    embedding.add(piece);
    for (size_t j = 0; j < piece.positions.size(); ++j) {
      places.push_back(rows.offsets[p] + static_cast<int32_t>(j));
      tokens.push_back(
          request_.batch.tokens[request_.batch.offsets[piece.item()] + piece.positions[j]]);
    }
  }
  if (places.empty()) return x;
  const HookRange range{-1, Hook::embed, Hook::pos_embed};
  SweepPhase<T> phase(model_, graph_, request_, planner_, embedding, range);
  const Var<T> embedded = embed_tokens(model_, graph_, phase.taps, tokens, embedding.positions);
  phase.store(result_);
  ops::assign_rows(ctx_, ops::AssignRows<T>{.y = x.m, .x = embedded.m(), .rows = places.data()});
  return x;
}

template <class T>
void SweepRun<T>::join(int64_t layer) {
  SweepRows more;
  while (joined_ < plans_->size() && (*plans_)[joined_].first_layer == layer) {
    const VariantPlan& plan = (*plans_)[joined_++];
    for (const ItemRows& rows : plan.items) {
      const Piece piece{&plan, &rows, rows.positions};
      more.add(piece);
      rows_.add(piece);
    }
  }
  if (more.pieces.empty()) return;
  Tensor<T> x = entering(more, layer);
  if (x_.value) {
    Tensor<T> both(rows_.count(), spec_.d_model);
    const int64_t before = x_.rows();
    const Mat<T> old{both.data(), before, both.cols(), both.cols()};
    const Mat<T> added{both.m.row(before), x.rows(), both.cols(), both.cols()};
    ops::copy_rows<T>(ctx_, old, x_.m());
    ops::copy_rows<T>(ctx_, added, x.m);
    x = both;
  }
  x_ = graph_.constant(x);
}

template <class T>
void SweepRun<T>::compute(int64_t layer) {
  if (rows_.count() == 0) return;
  const bool frozen = request_.freeze != Freeze::none;
  const bool inputs_only = layer == planner_.last_layer() && planner_.inputs_only();
  SweepPhase<T> phase(model_, graph_, request_, planner_, rows_,
                      {layer, Hook::resid_pre, frozen || inputs_only ? Hook::v_input : Hook::z});
  Var<T> x = phase.tap(Hook::resid_pre, x_);
  if (inputs_only) {
    show_inputs(graph_, spec_, phase, x);
    return phase.store(result_);
  }
  Var<T> z;
  if (frozen) {
    show_inputs(graph_, spec_, phase, x);
  } else {
    z = attend(layer, x, phase);
  }
  phase.store(result_);

  // Behind the last attention, only rows that are read.
  SweepRows kept;
  const SweepRows* rows = &rows_;
  if (layer == spec_.layers - 1) {
    std::vector<int32_t> from;
    for (size_t p = 0; p < rows_.pieces.size(); ++p) {
      Piece piece = rows_.pieces[p];
      for (size_t j = 0; j < piece.positions.size(); ++j) {
        if (std::binary_search(piece.of->read.begin(), piece.of->read.end(), piece.positions[j])) {
          from.push_back(rows_.offsets[p] + static_cast<int32_t>(j));
        }
      }
      piece.positions = piece.of->read;
      kept.add(piece);
    }
    if (kept.count() < rows_.count()) {
      x = graph_.gather_rows(x, from);
      if (!frozen) z = graph_.gather_rows(z, from);
    }
    rows = &kept;
  }

  Var<T> attn;
  if (frozen) {
    attn = attention_frozen(layer, *rows);
  } else {
    SweepPhase<T> writing(model_, graph_, request_, planner_, *rows,
                          {layer, Hook::result, Hook::attn_out});
    attn = writing.block.attention_out(layer, writing.block.attention_raw(layer, z));
    writing.store(result_);
  }
  const Hook last = request_.freeze == Freeze::attention_mlp ? Hook::mlp_in : Hook::mlp_out;
  SweepPhase<T> rest(model_, graph_, request_, planner_, *rows, {layer, Hook::resid_mid, last});
  Var<T> mid = graph_.add(x, attn);
  if (!spec_.parallel) mid = rest.tap(Hook::resid_mid, std::move(mid));
  const Var<T> out = mlp(layer, spec_.parallel ? x : mid, *rows, rest);
  rest.store(result_);
  SweepPhase<T> end(model_, graph_, request_, planner_, *rows,
                    {layer, Hook::resid_post, Hook::resid_post});
  x_ = end.tap(Hook::resid_post, graph_.add(mid, out));
  end.store(result_);
  if (rows == &kept) rows_ = std::move(kept);
}

// The rows' own queries, keys and values; those of earlier positions are the base run's.
template <class T>
Var<T> SweepRun<T>::attend(int64_t layer, const Var<T>& x, SweepPhase<T>& phase) {
  Block<T>& block = phase.block;
  auto [q, k, v] = phase.input_edits().empty()
                       ? block.project(layer, x, block.attention_in(layer, x))
                       : project_edited(model_, graph_, phase, layer, x);
  q = phase.tap(Hook::q, std::move(q));
  k = phase.tap(Hook::k, std::move(k));
  v = phase.tap(Hook::v, std::move(v));
  q = block.placed_queries(layer, q, rows_.positions);
  k = block.placed_keys(layer, k, rows_.positions);
  std::vector<ops::Segment<T>> segments;
  PatternLayout pattern;
  for (size_t p = 0; p < rows_.pieces.size(); ++p) {
    const Piece& piece = rows_.pieces[p];
    const int64_t n = std::ssize(piece.positions), past = piece.positions.front();
    const int64_t start = base_.first_key(piece.item()) * spec_.kv_width();
    segments.push_back(
        {rows_.offsets[p], n, base_.k[layer].data() + start, base_.v[layer].data() + start, past});
    pattern.offsets.push_back(pattern.size);
    pattern.keys.push_back(past + n);
    pattern.size += spec_.heads * n * (past + n);
  }
  const typename Graph<T>::Heads heads = block.heads(layer, segments);
  const Parameter<T>* offset = model_.weights.layers[layer].z_offset;
  if (!phase.taps.wanted(Hook::attn_scores, layer) && !phase.taps.wanted(Hook::pattern, layer)) {
    return phase.tap(Hook::z, graph_.add_bias(graph_.attention(q, k, v, heads), offset));
  }
  const Var<T> scores =
      phase.tap(Hook::attn_scores,
                graph_.attention_scores(q, k, heads, pattern.offsets, pattern.size), &pattern);
  const Var<T> weights =
      phase.tap(Hook::pattern, graph_.attention_softmax(scores, heads, pattern.offsets), &pattern);
  return phase.tap(
      Hook::z, graph_.add_bias(graph_.attention_mix(weights, v, heads, pattern.offsets), offset));
}

// Pieces of variants that have an edit in the range, or all if something there is captured.
template <class T>
SweepRows SweepRun<T>::touched(const SweepRows& rows, const HookRange& range,
                               std::vector<int32_t>& places) const {
  const bool all = planner_.captures_in(range.layer, range.first, range.last);
  SweepRows out;
  const VariantPlan* plan = nullptr;
  bool wanted = false;
  for (size_t p = 0; p < rows.pieces.size(); ++p) {
    const Piece& piece = rows.pieces[p];
    if (piece.plan != plan) {
      plan = piece.plan;
      const auto& edits = request_.variants[plan->variant];
      wanted = all || std::any_of(edits.begin(), edits.end(), [&](int32_t e) {
                 return range.contains(request_.edits[e].site);
               });
    }
    if (!wanted) continue;
    out.add(piece);
    for (int32_t r = rows.offsets[p]; r < rows.offsets[p + 1]; ++r) places.push_back(r);
  }
  return out;
}

template <class T>
template <class Compute>
Var<T> SweepRun<T>::frozen(const Tensor<T>& base, const SweepRows& rows, const HookRange& range,
                           const Compute& compute) {
  Tensor<T> out = of_base(base, rows);
  std::vector<int32_t> places;
  const SweepRows some = touched(rows, range, places);
  if (some.count() == 0) return graph_.constant(out);
  SweepPhase<T> phase(model_, graph_, request_, planner_, some, range);
  const Var<T> y = compute(some, phase);
  phase.store(result_);
  ops::assign_rows(ctx_, ops::AssignRows<T>{.y = out.m, .x = y.m(), .rows = places.data()});
  return graph_.constant(out);
}

template <class T>
Var<T> SweepRun<T>::attention_frozen(int64_t layer, const SweepRows& rows) {
  return frozen(base_.attn_out[layer], rows, {layer, Hook::z, Hook::attn_out},
                [&](const SweepRows& some, SweepPhase<T>& phase) {
                  const Tensor<T> z = of_base(base_.z[layer], some);
                  const Var<T> raw =
                      phase.block.attention_raw(layer, phase.tap(Hook::z, graph_.constant(z)));
                  return phase.block.attention_out(layer, raw);
                });
}

template <class T>
Var<T> SweepRun<T>::mlp(int64_t layer, const Var<T>& x, const SweepRows& rows,
                        SweepPhase<T>& phase) {
  if (request_.freeze == Freeze::attention_mlp) {
    phase.tap(Hook::mlp_in, x);
    return mlp_frozen(layer, rows);
  }
  return phase.block.mlp_out(layer, phase.block.mlp_raw(layer, phase.block.mlp_in(layer, x)));
}

template <class T>
Var<T> SweepRun<T>::mlp_frozen(int64_t layer, const SweepRows& rows) {
  return frozen(base_.mlp_out[layer], rows, {layer, Hook::mlp_post, Hook::mlp_out},
                [&](const SweepRows& some, SweepPhase<T>& phase) {
                  Var<T> raw;
                  if (spec_.experts > 0) {
                    const Tensor<T> base = of_base(base_.mlp_raw[layer], some);
                    raw = phase.tap(Hook::mlp_out_raw, graph_.constant(base));
                  } else {
                    const Tensor<T> base = of_base(base_.neurons[layer], some);
                    const MlpWeights<T>& w = model_.weights.layers[layer].mlp;
                    const Var<T> post = phase.tap(Hook::mlp_post, graph_.constant(base));
                    raw = phase.tap(Hook::mlp_out_raw, graph_.linear(post, *w.w_down, w.b_down));
                  }
                  return phase.block.mlp_out(layer, raw);
                });
}

template <class T>
void SweepRun<T>::finish() {
  if (rows_.count() == 0) return;
  SweepPhase<T> phase(model_, graph_, request_, planner_, rows_,
                      {-1, Hook::ln_final_scale, Hook::ln_final_normalized});
  const Var<T> normed = phase.block.final_norm(x_);
  phase.store(result_);
  if (planner_.reads_logits()) read(normed, rows_);
}

// The last rows of items, in the order of the result, so that they are written where they belong.
template <class T>
void SweepRun<T>::read(const Var<T>& normed, const SweepRows& rows) {
  struct End {
    int64_t target, item;
    int32_t row;
  };
  const Batch& batch = request_.batch;
  std::vector<End> ends;
  for (size_t p = 0; p < rows.pieces.size(); ++p) {
    const Piece& piece = rows.pieces[p];
    if (piece.positions.empty() || piece.positions.back() != batch.length(piece.item()) - 1) {
      continue;
    }
    ends.push_back(
        {piece.variant() * batch.items() + piece.item(), piece.item(), rows.offsets[p + 1] - 1});
  }
  std::sort(ends.begin(), ends.end(),
            [](const End& a, const End& b) { return a.target < b.target; });
  const Readout& wanted = request_.readout;
  const int64_t width = batch.items() ? std::ssize(wanted.tokens) / batch.items() : 0;
  std::vector<int32_t> from;
  for (const End& end : ends) from.push_back(end.row);
  const Var<T> gathered = graph_.gather_rows(normed, from);
  for (size_t first = 0, last; first < ends.size(); first = last) {
    Readout part = wanted;
    part.tokens.clear();
    part.rows.clear();
    for (last = first; last < ends.size() &&
                       ends[last].target == ends[first].target + static_cast<int64_t>(last - first);
         ++last) {
      const auto begin = wanted.tokens.begin() + ends[last].item * width;
      part.tokens.insert(part.tokens.end(), begin, begin + width);
      part.rows.push_back(ends[last].row);
    }
    const auto count = static_cast<int64_t>(last - first);
    const Mat<const T> block{gathered.m().row(static_cast<int64_t>(first)), count, gathered.cols(),
                             gathered.cols()};
    read_logits<T>(ctx_, model_, block, part, view(result_.variants, ends[first].target));
  }
}

template class SweepRun<float>;
template class SweepRun<double>;

}  // namespace keyheads
