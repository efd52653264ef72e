#include "model/sweep_base.h"

#include <algorithm>

namespace keyheads {

SweepItems::SweepItems(const Batch& whole, int64_t from, int64_t to)
    : first(from), last(to), first_row(whole.offsets[from]) {
  batch.tokens.assign(whole.tokens.begin() + whole.offsets[from],
                      whole.tokens.begin() + whole.offsets[to]);
  for (int64_t i = from; i <= to; ++i) {
    batch.offsets.push_back(whole.offsets[i] - whole.offsets[from]);
  }
}

namespace {

std::vector<int32_t> end_rows(const Batch& batch) {
  std::vector<int32_t> ends;
  for (int64_t i = 0; i < batch.items(); ++i) ends.push_back(batch.offsets[i + 1] - 1);
  return ends;
}

// A site of the whole request, of some of its items.
Site of_items(Site site, const SweepItems& items) {
  if (site.all_rows) return site;
  std::erase_if(site.rows, [&](int32_t row) {
    return row < items.first_row || row >= items.first_row + items.batch.rows();
  });
  for (int32_t& row : site.rows) row -= static_cast<int32_t>(items.first_row);
  return site;
}

// The readout of the last row of every item.
Readout of_items(Readout readout, const SweepItems& items, int64_t all) {
  const int64_t width = static_cast<int64_t>(readout.tokens.size()) / all;
  readout.tokens = {readout.tokens.begin() + items.first * width,
                    readout.tokens.begin() + items.last * width};
  readout.rows = end_rows(items.batch);
  return readout;
}

}  // namespace

template <class T>
SweepBase<T>::SweepBase(Context& ctx, const Model<T>& model, const SweepRequest<T>& request,
                        const SweepPlanner<T>& planner, const SweepItems& items)
    : items_(items),
      layers_(model.spec.layers),
      ends_(planner.ends_only()),
      dense_(model.spec.experts == 0) {
  for (auto* by_layer : {&resid_pre, &z, &attn_out, &neurons, &mlp_raw, &mlp_out, &k, &v}) {
    by_layer->resize(static_cast<size_t>(layers_));
  }
  Wanted wanted;
  want_stream(wanted, planner, request.freeze);
  std::vector<Site> sites;
  for (const auto& [site, to] : wanted) sites.push_back(site);
  for (const Site& site : request.captures) sites.push_back(of_items(site, items));

  Readout reading;
  Range<T> range;
  if (planner.reads_logits()) {
    reading = of_items(request.readout, items, request.batch.items());
  } else if (planner.last_layer() < layers_) {
    range.last = planner.last_layer() + 1;
  }
  reading.wanted = planner.reads_logits();
  ForwardResult<T> run = forward<T>(ctx, model, items.batch, sites, {}, reading, nullptr, range);
  readout = std::move(run.readout);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto rows = ends_ && !wanted[i].first.all_rows ? items.count() : items.batch.rows();
    *wanted[i].second = run.captures[i].reshaped(rows, run.captures[i].size() / rows);
  }
  captures.assign(run.captures.begin() + static_cast<int64_t>(wanted.size()), run.captures.end());
  place_keys(ctx, model);
}

template <class T>
void SweepBase<T>::want_stream(Wanted& wanted, const SweepPlanner<T>& planner, Freeze freeze) {
  if (planner.order().empty()) return;
  const auto want = [&](Hook hook, int64_t layer, Tensor<T>& to, bool all = false) {
    Site site;
    site.hook = hook;
    site.layer = layer;
    site.all_rows = all || !ends_;
    if (!site.all_rows) site.rows = end_rows(items_.batch);
    wanted.push_back({std::move(site), &to});
  };
  const bool frozen = freeze != Freeze::none;
  const auto touched = [&](int64_t layer, Hook first, Hook last) {
    return planner.edits_in(layer, first, last) || planner.captures_in(layer, first, last);
  };
  bool begun = false;
  for (int64_t l = 0; l < std::min(layers_, planner.last_layer() + 1); ++l) {
    const bool joins = planner.edits_in(l, Hook::resid_pre, Hook::resid_post) ||
                       (l == 0 && planner.edits_in(-1, Hook::embed, Hook::pos_embed));
    if (joins) want(Hook::resid_pre, l, resid_pre[l]);
    begun = begun || joins;
    if (!begun) continue;
    if (!frozen) {
      want(Hook::k, l, k[l], true);
      want(Hook::v, l, v[l], true);
      continue;
    }
    want(Hook::attn_out, l, attn_out[l]);
    if (touched(l, Hook::z, Hook::attn_out)) want(Hook::z, l, z[l]);
    if (freeze != Freeze::attention_mlp) continue;
    want(Hook::mlp_out, l, mlp_out[l]);
    if (!touched(l, Hook::mlp_post, Hook::mlp_out)) continue;
    dense_ ? want(Hook::mlp_post, l, neurons[l]) : want(Hook::mlp_out_raw, l, mlp_raw[l]);
  }
  const bool final = planner.edits_in(-1, Hook::ln_final_scale, Hook::ln_final_normalized);
  if (final && planner.last_layer() == layers_) want(Hook::resid_post, layers_ - 1, last);
}

template <class T>
void SweepBase<T>::place_keys(Context& ctx, const Model<T>& model) {
  std::vector<int32_t> positions;
  for (int64_t i = 0; i < items_.count(); ++i) {
    for (int32_t p = 0; p < items_.batch.length(i); ++p) positions.push_back(p);
  }
  const std::vector<Site> none;
  const std::vector<Edit<T>> no_edits;
  Graph<T> graph(ctx, nullptr, nullptr);
  Taps<T> silent(ctx, model.spec, items_.batch, none, no_edits, none);
  Block<T> block(model, graph, silent);
  for (int64_t l = 0; l < layers_; ++l) {
    if (k[l]) k[l] = block.placed_keys(l, graph.constant(k[l]), positions).value;
  }
}

template <class T>
int32_t SweepBase<T>::row(int64_t item, int32_t position) const {
  const int64_t i = item - items_.first;
  return static_cast<int32_t>(ends_ ? i : items_.batch.offsets[i] + position);
}

template <class T>
int64_t kept_numbers(const Spec& s, const SweepRequest<T>& request) {
  if (request.freeze == Freeze::none) return s.layers * (s.d_model + 2 * s.kv_width());
  const bool mlps = request.freeze == Freeze::attention_mlp;
  return s.layers * (2 * s.d_model + s.q_width() + (mlps ? s.d_model + s.d_mlp : 0));
}

template struct SweepBase<float>;
template struct SweepBase<double>;
template int64_t kept_numbers(const Spec&, const SweepRequest<float>&);
template int64_t kept_numbers(const Spec&, const SweepRequest<double>&);

}  // namespace keyheads
