#include "model/tap.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "model/graph.h"
#include "ops/along.h"

namespace keyheads {
namespace {

const char* op_name(EditOp op) {
  constexpr const char* names[] = {"zero", "set", "add", "scale", "mean", "interpolate", "call"};
  return names[static_cast<size_t>(op)];
}

bool exists(const HookInfo& info, const Spec& spec) {
  switch (info.when) {
    case When::learned:
      return !spec.rotary;
    case When::rotary:
      return spec.rotary;
    case When::sequential:
      return !spec.parallel;
    case When::prenorm:
      return spec.pre_norm;
    case When::postnorm:
      return spec.post_norm;
    case When::dense:
      return spec.experts == 0;
    case When::gated_dense:
      return spec.gated && spec.experts == 0;
    case When::mixture:
      return spec.experts > 0;
    case When::gated_mixture:
      return spec.gated && spec.experts > 0;
    case When::always:
      return true;
  }
  return true;
}

void check_ascending(const std::vector<int32_t>& values, int64_t count, const char* what,
                     const char* kind, const HookInfo& info) {
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t value = values[i];
    if (value >= 0 && value < count && (i == 0 || value > values[i - 1])) continue;
    fail("BAD_ARGUMENT", what, ": ", kind, " of ", info.name, " must ascend from 0 to ", count - 1,
         ", found ", value);
  }
}

}  // namespace

int64_t head_count(const HookInfo& info, const Spec& spec) {
  switch (info.heads) {
    case Heads::query:
      return spec.heads;
    case Heads::kv:
      return spec.kv_heads;
    case Heads::expert:
      return spec.experts;
    case Heads::none:
      return 1;
  }
  return 1;
}

int64_t width_of(const HookInfo& info, const Spec& spec) {
  switch (info.width) {
    case Width::one:
      return 1;
    case Width::d_model:
      return spec.d_model;
    case Width::d_head:
      return spec.d_head;
    case Width::d_mlp:
      return spec.d_mlp;
    case Width::experts:
      return spec.experts;
    case Width::chosen:
      return spec.experts_per_token;
    case Width::key:
      return 0;
  }
  return 0;
}

void check_site(const Site& site, const Spec& spec, int64_t rows, const char* what) {
  const HookInfo& info = info_of(site.hook);
  if (!exists(info, spec)) fail("BAD_ARGUMENT", what, ": this model has no ", info.name);
  if (info.per == Per::model ? site.layer != -1 : site.layer < 0 || site.layer >= spec.layers) {
    fail("BAD_ARGUMENT", what, ": ", info.name, " has no layer ", site.layer, "; this model has ",
         spec.layers, " layers");
  }
  if (info.rows == Rows::choice && !std::string_view(what).ends_with("capture")) {
    fail("BAD_ARGUMENT", what, ": ", info.name, " can only be read; it has whole numbers, whose ",
         "gradient is zero, and other experts are chosen by writing mlp.hook_expert_weights");
  }
  const int64_t heads = head_count(info, spec);
  for (const int32_t head : site.heads) {
    if (info.heads != Heads::none && head >= 0 && head < heads) continue;
    fail("BAD_ARGUMENT", what, ": ", info.name, " has no head ", head, "; it has ",
         info.heads == Heads::none ? 0 : heads, " heads");
  }
  check_ascending(site.heads, heads, what, "heads", info);
  if (site.hook == Hook::attn_in && spec.heads != spec.kv_heads) {
    fail("BAD_ARGUMENT", what, ": hook_attn_in is not defined with grouped queries; use ",
         "hook_q_input, hook_k_input or hook_v_input");
  }
  if (info.rows == Rows::pattern && !site.columns.empty()) {
    fail("BAD_ARGUMENT", what, ": ", info.name, " has no columns to choose from, its rows differ ",
         "in length");
  }
  check_ascending(site.columns, width_of(info, spec), what, "columns", info);
  check_ascending(site.rows, rows, what, "rows", info);
}

template <class T>
Taps<T>::Taps(Context& ctx, const Spec& spec, const Batch& batch, const std::vector<Site>& captures,
              const std::vector<Edit<T>>& edits, const std::vector<Site>& gradients,
              const Range<T>& range, const Directions<T>* directions)
    : captures(captures.size()),
      gradients(gradients.size()),
      ctx_(ctx),
      spec_(spec),
      batch_(batch),
      capture_sites_(captures),
      edits_(edits),
      gradient_sites_(gradients),
      directions_(directions) {
  const auto add = [&](Index& index, const Site& site, size_t i, const char* what) {
    check_site(site, spec_, batch_.rows(), what);
    check_computed(site, what, range);
    index[{site.hook, site.layer}].push_back(i);
    fired_[{site.hook, site.layer}] = false;
  };
  for (size_t i = 0; i < captures.size(); ++i) add(captures_at_, captures[i], i, "capture");
  for (size_t i = 0; i < edits.size(); ++i) add(edits_at_, edits[i].site, i, "edit");
  for (size_t i = 0; i < gradients.size(); ++i) {
    add(gradients_at_, gradients[i], i, "gradient");
    check_directions(i);
  }
}

template <class T>
int64_t Taps<T>::rows_of(const Site& site) const {
  return site.all_rows ? batch_.rows() : std::ssize(site.rows);
}

template <class T>
int64_t Taps<T>::numbers_of(const Site& site) const {
  return site.columns.empty() ? width_of(info_of(site.hook), spec_) : std::ssize(site.columns);
}

// Whether the site has the rows and the width of the directions that it is asked for.
template <class T>
void Taps<T>::check_directions(size_t i) const {
  if (!directions_ || !directions_->along[i]) return;
  const Site& site = gradient_sites_[i];
  const HookInfo& info = info_of(site.hook);
  if (info.rows == Rows::pattern) {
    fail("BAD_ARGUMENT", "gradient: ", info.name, " has no derivatives along directions, its rows ",
         "differ in length");
  }
  const auto [first, last] = *directions_->along[i];
  if (first < 0 || last <= first || last > directions_->count) {
    fail("BAD_ARGUMENT", "gradient: along [", first, ", ", last, ") of ", directions_->count,
         " directions");
  }
  const int64_t rows = rows_of(site), width = numbers_of(site);
  if (directions_->values.size() != directions_->count * rows * width) {
    fail("BAD_ARGUMENT", "directions: ", directions_->values.size(), " numbers, but ",
         directions_->count, " directions of ", rows, " rows of ", width, " at ", info.name);
  }
}

template <class T>
Tensor<T> Taps<T>::gradient_out(size_t i, const Tensor<T>& d, const PatternLayout* pattern) const {
  const Site& site = gradient_sites_[i];
  if (!directions_ || !directions_->along[i]) return copy_out(site, d, pattern);
  const Selection where = select(site, d.cols(), nullptr);
  const int64_t rows = rows_of(site), width = numbers_of(site);
  std::vector<int32_t> starts;  // rows of the site that come before each item
  for (int64_t item = 0; item <= batch_.items(); ++item) {
    const int32_t at = batch_.offsets[item];
    const auto before = std::lower_bound(site.rows.begin(), site.rows.end(), at);
    starts.push_back(site.all_rows ? at : static_cast<int32_t>(before - site.rows.begin()));
  }
  const Tensor<T> g =
      (where.size == d.size() ? d : gather(ctx_, where, d)).reshaped(rows, where.row);
  const auto [first, last] = *directions_->along[i];
  const int64_t count = last - first, heads = where.row / width;
  Tensor<T> out(batch_.items(), heads * count);
  ops::along(ctx_, ops::Along<T>{.y = out.m,
                                 .g = g.m,
                                 .values = {directions_->values.data() + first * rows * width,
                                            count * rows, width, width},
                                 .count = count,
                                 .heads = heads,
                                 .starts = starts.data()});
  return out;
}

template <class T>
bool Taps<T>::wanted_after_attention(int64_t layer) const {
  return std::any_of(fired_.begin(), fired_.end(), [&](const auto& entry) {
    const auto& [hook, at] = entry.first;
    return hook > Hook::z && (at == layer || at < 0);
  });
}

template <class T>
void Taps<T>::check_computed(const Site& site, const char* what, const Range<T>& range) const {
  const HookInfo& info = info_of(site.hook);
  const int64_t last = range.stops() ? range.last : spec_.layers;
  const bool before = site.hook == Hook::embed || site.hook == Hook::pos_embed;
  const bool computed = info.per == Per::layer ? site.layer >= range.first && site.layer < last
                        : before               ? !range.starts()
                                               : !range.stops();
  if (computed) return;
  fail("BAD_ARGUMENT", what, ": ", info.name,
       info.per == Per::layer ? " of layer " + std::to_string(site.layer) : std::string(),
       " is not computed in this run, which starts at ",
       range.starts() ? "layer " + std::to_string(range.first) : "the embeddings", " and stops ",
       range.stops() ? "before layer " + std::to_string(last) : "at the logits");
}

template <class T>
Selection Taps<T>::select(const Site& site, int64_t cols, const PatternLayout* pattern) const {
  Selection out;
  if (!pattern) {
    const int64_t heads = head_count(info_of(site.hook), spec_), width = cols / heads;
    const std::vector<std::pair<int64_t, int64_t>> runs = runs_of(site.columns);
    const int64_t chosen = site.columns.empty() ? width : std::ssize(site.columns);
    out.row = chosen * (site.heads.empty() ? heads : std::ssize(site.heads));
    const auto add_head = [&](int64_t start) {
      if (runs.empty()) out.add(start, width);
      for (const auto& [first, length] : runs) out.add(start + first, length);
    };
    const auto add = [&](int64_t row) {
      if (site.heads.empty() && runs.empty()) return out.add(row * cols, cols);
      for (int64_t h = 0; site.heads.empty() && h < heads; ++h) add_head(row * cols + h * width);
      for (const int32_t head : site.heads) add_head(row * cols + head * width);
    };
    if (site.all_rows) {
      for (int64_t row = 0; row < batch_.rows(); ++row) add(row);
    } else {
      for (const int32_t row : site.rows) add(row);
    }
    return out;
  }
  std::vector<int32_t> heads = site.heads;
  for (int32_t h = 0; site.heads.empty() && h < spec_.heads; ++h) heads.push_back(h);
  size_t next = 0;
  for (int64_t item = 0; item < batch_.items(); ++item) {
    const int64_t n = batch_.length(item), keys = pattern->keys[item];
    const int64_t start = pattern->offsets[item];
    if (site.all_rows) {
      for (const int32_t h : heads) out.add(start + h * n * keys, n * keys);
      continue;
    }
    const size_t first = next;
    while (next < site.rows.size() && site.rows[next] < batch_.offsets[item + 1]) ++next;
    for (const int32_t h : heads) {
      for (size_t i = first; i < next; ++i) {
        const int64_t query = site.rows[i] - batch_.offsets[item];
        out.add(start + (h * n + query) * keys, keys);
      }
    }
  }
  return out;
}

template <class T>
Tensor<T> Taps<T>::copy_out(const Site& site, const Tensor<T>& value,
                            const PatternLayout* pattern) const {
  return gather(ctx_, select(site, value.cols(), pattern), value);
}

template <class T>
Var<T> Taps<T>::edit(Tape* tape, const Edit<T>& e, const Var<T>& x, const PatternLayout* pattern,
                     bool in_place) {
  const HookInfo& info = info_of(e.site.hook);
  const Selection where = select(e.site, x.cols(), pattern);
  const auto given = std::ssize(e.value);
  const bool needs_value =
      e.op == EditOp::set || e.op == EditOp::add || e.op == EditOp::interpolate;
  if (needs_value && given != where.size && given != 1 && (pattern || given != where.row)) {
    fail("BAD_ARGUMENT", "edit ", op_name(e.op), " at ", info.name, ": value has ", given,
         " elements, expected ", where.size, pattern ? "" : ", or one row of ",
         pattern ? std::string() : std::to_string(where.row), ", or 1");
  }
  if (e.op == EditOp::mean && pattern) {
    fail("BAD_ARGUMENT", "edit mean is not defined at ", info.name, "; use set");
  }
  Var<T> y = x;
  if (!in_place) {
    y = {copy_of(ctx_, x.value), x.grad ? std::make_shared<Grad<T>>() : nullptr};
  }
  apply_edit(ctx_, where, e.op, e.value, e.factor, y.value);
  if (!tape || !x.grad) return y;

  tape->record([this, x = x.shape(), y = y.shape(), where, op = e.op, factor = e.factor] {
    if (!y.grad->tensor) return;
    Tensor<T> d = copy_of(ctx_, y.grad->tensor);
    apply_edit_gradient(ctx_, where, op, factor, d);
    contribute<T>(ctx_, x, d.m);
  });
  return y;
}

template <class T>
Var<T> Taps<T>::call(Tape* tape, const Edit<T>& e, const Var<T>& x, const PatternLayout* pattern,
                     bool in_place) {
  const Selection where = select(e.site, x.cols(), pattern);
  Var<T> y = x;
  if (!in_place) {
    y = {copy_of(ctx_, x.value), x.grad ? std::make_shared<Grad<T>>() : nullptr};
  }
  // the selection may be the whole value, in its order
  const bool whole = where.size == x.value.size();
  const Tensor<T> values = whole ? y.value : gather(ctx_, where, x.value);
  CallResult result{};
  if (!ctx_.planning) {
    const Tensor<T> seen = to_host(ctx_, values);
    result = e.call(ctx_, seen);
    if (ctx_.device) bytes_from_host(ctx_, values.data(), seen.data(), seen.bytes());
  }
  if (!whole) {
    ops::scatter_spans(ctx_, ops::ScatterSpans<T>{.y = y.value.data(),
                                                  .x = values.data(),
                                                  .spans = where.spans.data(),
                                                  .count = where.count()});
  }
  if (!tape || !x.grad) return y;

  tape->record([this, x, y, where, result, gradient = e.gradient] {
    if (!y.grad->tensor) return;
    Tensor<T> d = copy_of(ctx_, y.grad->tensor);
    if (gradient == CallGradient::unchanged && result == CallResult::replaced) {
      apply_edit_gradient<T>(ctx_, where, EditOp::zero, 1, d);
    } else if (gradient == CallGradient::unchanged) {
      ops::clear_changed(ctx_, ops::ClearChanged<T>{.d = d.data(),
                                                    .before = x.value.data(),
                                                    .after = y.value.data(),
                                                    .spans = where.spans.data(),
                                                    .count = where.count()});
    }
    contribute<T>(ctx_, x, d.m);
  });
  return y;
}

template <class T>
Var<T> Taps<T>::tap(Tape* tape, Hook hook, int64_t layer, Var<T> x, const PatternLayout* pattern) {
  const auto fired = fired_.find({hook, layer});
  if (fired == fired_.end()) return x;
  fired->second = true;

  const auto each = [&](const Index& index, auto&& use) {
    const auto found = index.find({hook, layer});
    if (found != index.end()) {
      for (const size_t i : found->second) use(i);
    }
  };
  // Edits that nothing is differentiated through change a value that is nobody else's, which is
  // their first one's copy at the latest.
  bool own = x.value.hold.use_count() == 1;
  each(edits_at_, [&](size_t i) {
    const bool in_place = own && !tape;
    x = edits_[i].op == EditOp::call ? call(tape, edits_[i], x, pattern, in_place)
                                     : edit(tape, edits_[i], x, pattern, in_place);
    own = true;
  });
  each(captures_at_,
       [&](size_t i) { captures[i] = copy_out(capture_sites_[i], x.value, pattern); });
  if (!tape || !has(gradients_at_, hook, layer)) return x;

  // A node of its own, so that its gradient is the sum over everything that reads it.
  Var<T> y{x.value, std::make_shared<Grad<T>>()};
  tape->record([this, x, y, hook, layer, pattern] {
    if (!y.grad->tensor) y.grad->tensor = Tensor<T>::zeros(ctx_, y.rows(), y.cols());
    for (const size_t i : gradients_at_.at({hook, layer})) {
      gradients[i] = gradient_out(i, y.grad->tensor, pattern);
    }
    if (x.grad) contribute<T>(ctx_, x, y.grad->tensor.m);
  });
  return y;
}

template <class T>
void Taps<T>::check_all_fired() const {
  for (const auto& [key, fired] : fired_) {
    if (!fired) {
      fail("BAD_ARGUMENT", info_of(key.first).name, " of layer ", key.second,
           " did not fire in this run");
    }
  }
}

template class Taps<float>;
template class Taps<double>;

}  // namespace keyheads
