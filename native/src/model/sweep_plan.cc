#include "model/sweep_plan.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "model/tap.h"

namespace keyheads {
namespace {

bool of_embeddings(Hook hook) { return hook == Hook::embed || hook == Hook::pos_embed; }

int64_t layer_of(const Site& site, const Spec& spec) {
  if (info_of(site.hook).per == Per::layer) return site.layer;
  return of_embeddings(site.hook) ? 0 : spec.layers;
}

template <class T>
bool needs_value(const SweepEdit<T>& edit) {
  return edit.op == EditOp::set || edit.op == EditOp::add || edit.op == EditOp::interpolate;
}

bool within(Hook hook, Hook first, Hook last) { return hook >= first && hook <= last; }

}  // namespace

template <class T>
SweepPlanner<T>::SweepPlanner(const Spec& spec, const SweepRequest<T>& request)
    : spec_(spec), request_(request) {
  check();
  for (const Site& site : request.captures) {
    captured_.emplace_back(site, request.batch, spec);
    const int64_t layer = layer_of(site, spec);
    const bool inputs =
        of_embeddings(site.hook) || within(site.hook, Hook::resid_pre, Hook::v_input);
    if (layer > last_layer_) inputs_only_ = true;
    if (layer >= last_layer_) inputs_only_ = inputs_only_ && inputs;
    last_layer_ = std::max(last_layer_, layer);
  }
  if (reads_logits()) last_layer_ = spec.layers;
  if (last_layer_ == spec.layers) inputs_only_ = false;
  for (const SweepEdit<T>& edit : request.edits) {
    const Selected& where = edited_.emplace_back(edit.site, request.batch, spec);
    check_values(edit, where);
  }
  std::vector<int64_t> first;
  for (size_t v = 0; v < request.variants.size(); ++v) {
    first.push_back(first_layer(static_cast<int64_t>(v)));
    (first.back() <= last_layer_ ? order_ : unchanged_).push_back(static_cast<int64_t>(v));
  }
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int64_t a, int64_t b) { return first[a] < first[b]; });
  ends_only_ = true;
  for (const Selected& where : edited_) {
    for (int64_t item = 0; item < request.batch.items() && ends_only_; ++item) {
      const int64_t rows = where.rows_of(item), end = request.batch.length(item) - 1;
      ends_only_ = rows == 0 || (rows == 1 && where.position(item, where.first_row(item)) == end);
    }
  }
}

template <class T>
void SweepPlanner<T>::check() const {
  const SweepRequest<T>& r = request_;
  const int64_t rows = r.batch.rows();
  for (const Site& site : r.captures) {
    check_site(site, spec_, rows, "sweep, capture");
    check_frozen(site, false);
  }
  for (const SweepEdit<T>& edit : r.edits) {
    check_site(edit.site, spec_, rows, "sweep, edit");
    check_frozen(edit.site, true);
    if (edit.op == EditOp::call) {
      fail("BAD_ARGUMENT", "sweep: an edit of a variant is data; functions run in forward");
    }
    if (edit.op == EditOp::mean && info_of(edit.site.hook).rows == Rows::pattern) {
      fail("BAD_ARGUMENT", "sweep: edit mean is not defined at ", info_of(edit.site.hook).name,
           "; use set");
    }
  }
  for (const auto& variant : r.variants) {
    for (const int32_t edit : variant) {
      if (edit >= 0 && edit < std::ssize(r.edits)) continue;
      fail("BAD_ARGUMENT", "sweep: a variant has edit ", edit, "; there are ", r.edits.size());
    }
  }
  if (r.readout.logits == LogitsWanted::tokens &&
      std::ssize(r.readout.tokens) % std::max<int64_t>(r.batch.items(), 1) != 0) {
    fail("BAD_ARGUMENT", "sweep: ", r.readout.tokens.size(), " tokens to read for ",
         r.batch.items(), " items");
  }
}

template <class T>
void SweepPlanner<T>::check_values(const SweepEdit<T>& edit, const Selected& where) const {
  if (!needs_value(edit)) return;
  const char* name = info_of(edit.site.hook).name;
  if (edit.value < 0 || edit.value >= std::ssize(request_.values)) {
    fail("BAD_ARGUMENT", "sweep: the edit at ", name, " has value ", edit.value, "; there are ",
         request_.values.size());
  }
  const bool pattern = where.columns() == 0;
  const int64_t rows = pattern ? 1 : where.first_row(request_.batch.items());
  // in double: strides are any numbers
  double low = static_cast<double>(edit.offset), high = low;
  const auto reach = [&](int64_t count, int64_t stride) {
    if (count < 1) return;
    (stride < 0 ? low : high) += static_cast<double>(count - 1) * static_cast<double>(stride);
  };
  reach(rows, pattern ? 0 : edit.row);
  reach(pattern ? 1 : where.heads(), pattern ? 0 : edit.head);
  reach(pattern ? where.size() : where.columns(), edit.column);
  const size_t size = request_.values[edit.value].size();
  if (where.size() > 0 && (low < 0 || high >= static_cast<double>(size))) {
    fail("BAD_ARGUMENT", "sweep: the edit at ", name, " reads numbers ", low, " to ", high,
         " of a value that has ", size);
  }
}

// What is held at the base run's values can be neither changed nor read.
template <class T>
void SweepPlanner<T>::check_frozen(const Site& site, bool edit) const {
  if (request_.freeze == Freeze::none) return;
  const char* name = info_of(site.hook).name;
  const bool of_attention = within(site.hook, Hook::ln1_scale, Hook::pattern) ||
                            (edit && within(site.hook, Hook::attn_in, Hook::v_input));
  if (of_attention) {
    fail("BAD_ARGUMENT", "sweep: attention is frozen, so ", name, edit ? " changes" : " shows",
         " nothing; use freeze \"none\"");
  }
  const Hook first = edit ? Hook::mlp_in : Hook::ln2_scale;
  const Hook last = spec_.experts > 0 ? Hook::expert_post : Hook::mlp_pre_linear;
  if (request_.freeze == Freeze::attention_mlp && within(site.hook, first, last)) {
    fail("BAD_ARGUMENT", "sweep: MLPs are frozen, so ", name, edit ? " changes" : " shows",
         " nothing; use freeze \"attention\" or \"none\"");
  }
}

template <class T>
bool SweepPlanner<T>::reads_logits() const {
  const Readout& r = request_.readout;
  return r.logits != LogitsWanted::none || r.argmax || r.logsumexp;
}

template <class T>
bool SweepPlanner<T>::edits_in(int64_t layer, Hook first, Hook last) const {
  return std::any_of(request_.edits.begin(), request_.edits.end(), [&](const auto& edit) {
    return edit.site.layer == layer && within(edit.site.hook, first, last);
  });
}

template <class T>
bool SweepPlanner<T>::captures_in(int64_t layer, Hook first, Hook last) const {
  return std::any_of(request_.captures.begin(), request_.captures.end(), [&](const Site& site) {
    return site.layer == layer && within(site.hook, first, last);
  });
}

template <class T>
bool SweepPlanner<T>::couples_items() const {
  return std::any_of(request_.edits.begin(), request_.edits.end(),
                     [](const auto& edit) { return edit.op == EditOp::mean; });
}

// Beyond the last layer for a variant without edits.
template <class T>
int64_t SweepPlanner<T>::first_layer(int64_t variant) const {
  int64_t first = spec_.layers + 1;
  for (const int32_t e : request_.variants[variant]) {
    if (edited_[e].size() > 0) first = std::min(first, layer_of(request_.edits[e].site, spec_));
  }
  return first;
}

// Positions of an item that the edits change, ascending.
template <class T>
std::vector<int32_t> SweepPlanner<T>::changed(const std::vector<int32_t>& edits,
                                              int64_t item) const {
  std::vector<int32_t> out;
  for (const int32_t e : edits) {
    const Selected& where = edited_[e];
    for (int64_t i = 0; i < where.rows_of(item); ++i) {
      out.push_back(static_cast<int32_t>(where.position(item, where.first_row(item) + i)));
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// Whether something is read of a row; `at_the_end`: behind the last layer's attention.
template <class T>
bool SweepPlanner<T>::read_at(int64_t item, int32_t position, bool at_the_end) const {
  const Batch& batch = request_.batch;
  if (reads_logits() && position == batch.length(item) - 1) return true;
  for (size_t c = 0; c < captured_.size(); ++c) {
    const Site& site = request_.captures[c];
    const int64_t layer = layer_of(site, spec_);
    const bool late = layer == spec_.layers || (layer == spec_.layers - 1 && site.hook >= Hook::z);
    if (at_the_end && !late) continue;
    if (captured_[c].find(batch.offsets[item] + position) >= 0) return true;
  }
  return false;
}

template <class T>
VariantPlan SweepPlanner<T>::plan(int64_t variant, int64_t first_item, int64_t last_item) const {
  const std::vector<int32_t>& edits = request_.variants[variant];
  VariantPlan plan{variant, first_layer(variant), false, {}, 0};
  bool whole = false;  // a mean needs every row that it is taken over
  for (const int32_t e : edits) {
    plan.embeds = plan.embeds || of_embeddings(request_.edits[e].site.hook);
    whole = whole || request_.edits[e].op == EditOp::mean;
  }
  for (int64_t item = first_item; item < last_item; ++item) {
    ItemRows rows{item, changed(edits, item), {}};
    if (rows.positions.empty()) continue;
    if (request_.freeze == Freeze::none) {
      const int32_t first = rows.positions.front(), end = request_.batch.length(item);
      rows.positions.clear();
      for (int32_t p = first; p < end; ++p) rows.positions.push_back(p);
    } else if (!whole) {
      std::erase_if(rows.positions, [&](int32_t p) { return !read_at(item, p, false); });
      if (rows.positions.empty()) continue;
    }
    for (const int32_t p : rows.positions) {
      if (whole || read_at(item, p, true)) rows.read.push_back(p);
    }
    plan.rows += std::ssize(rows.positions);
    plan.items.push_back(std::move(rows));
  }
  return plan;
}

template class SweepPlanner<float>;
template class SweepPlanner<double>;

}  // namespace keyheads
