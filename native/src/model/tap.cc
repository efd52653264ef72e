#include "model/tap.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "base/parallel.h"

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

template <class T>
void add_to_gradient(const Var<T>& x, const Tensor<T>& d) {
  bool accumulate;
  const Mat<T> target = x.grad->target(x.rows(), x.cols(), accumulate);
  for (int64_t i = 0; i < d.size(); ++i) {
    target.data[i] = accumulate ? target.data[i] + d.data()[i] : d.data()[i];
  }
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

// [first, length] of consecutive numbers.
std::vector<std::pair<int64_t, int64_t>> runs_of(const std::vector<int32_t>& columns) {
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (const int32_t column : columns) {
    if (!runs.empty() && runs.back().first + runs.back().second == column) {
      ++runs.back().second;
    } else {
      runs.push_back({column, 1});
    }
  }
  return runs;
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
              const Range<T>& range)
    : captures(captures.size()),
      gradients(gradients.size()),
      ctx_(ctx),
      spec_(spec),
      batch_(batch),
      capture_sites_(captures),
      edits_(edits),
      gradient_sites_(gradients) {
  const auto add = [&](Index& index, const Site& site, size_t i, const char* what) {
    check_site(site, spec_, batch_.rows(), what);
    check_computed(site, what, range);
    index[{site.hook, site.layer}].push_back(i);
    fired_[{site.hook, site.layer}] = false;
  };
  for (size_t i = 0; i < captures.size(); ++i) add(captures_at_, captures[i], i, "capture");
  for (size_t i = 0; i < edits.size(); ++i) add(edits_at_, edits[i].site, i, "edit");
  for (size_t i = 0; i < gradients.size(); ++i) add(gradients_at_, gradients[i], i, "gradient");
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
typename Taps<T>::Selection Taps<T>::select(const Site& site, int64_t cols,
                                            const PatternLayout* pattern) const {
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

// Calls move(offset, at, length) for pieces of the selection, from several threads where it is
// large. Neighbouring spans are one piece.
template <class Spans, class Move>
void in_pieces(Context& ctx, const Spans& spans, int64_t size, const Move& move) {
  if (ctx.planning) return;
  constexpr int64_t kPiece = 32768, kParallel = 131072;
  Spans pieces;
  for (const auto& s : spans) {
    if (pieces.empty() || pieces.back().offset + pieces.back().length != s.offset) {
      pieces.push_back(s);
    } else {
      pieces.back().length += s.length;
    }
  }
  if (size < kParallel) {
    for (const auto& p : pieces) move(p.offset, p.at, p.length);
    return;
  }
  // Chunk c is the part [c, c + 1) * kPiece of the selection.
  parallel_for(ctx, (size + kPiece - 1) / kPiece, [&](int64_t c) {
    const int64_t begin = c * kPiece, end = std::min(size, begin + kPiece);
    auto p = std::upper_bound(pieces.begin(), pieces.end(), begin,
                              [](int64_t at, const auto& piece) { return at < piece.at; });
    for (--p; p != pieces.end() && p->at < end; ++p) {
      const int64_t from = std::max(begin, p->at), to = std::min(end, p->at + p->length);
      move(p->offset + from - p->at, from, to - from);
    }
  });
}

template <class T>
Tensor<T> Taps<T>::copy_out(const Site& site, const Tensor<T>& value,
                            const PatternLayout* pattern) const {
  const Selection chosen = select(site, value.cols(), pattern);
  Tensor<T> out(1, chosen.size);
  in_pieces(ctx_, chosen.spans, chosen.size, [&](int64_t offset, int64_t at, int64_t length) {
    std::copy_n(value.data() + offset, length, out.data() + at);
  });
  return out;
}

template <class T>
Var<T> Taps<T>::edit(Tape* tape, const Edit<T>& e, const Var<T>& x, const PatternLayout* pattern,
                     bool in_place) {
  const HookInfo& info = info_of(e.site.hook);
  const Selection where = select(e.site, x.cols(), pattern);
  const auto given = static_cast<int64_t>(e.value.size());
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
  // Sums over the rows of what `data` holds, divided by their number.
  const auto mean_of = [](const Selection& chosen, const T* data) {
    std::vector<double> sum(static_cast<size_t>(chosen.row), 0.0);
    for (const Span& s : chosen.spans) {
      for (int64_t i = 0; i < s.length; ++i) sum[(s.at + i) % chosen.row] += data[s.offset + i];
    }
    std::vector<T> mean;
    for (const double v : sum) {
      mean.push_back(static_cast<T>(v / static_cast<double>(chosen.rows())));
    }
    return mean;
  };
  std::vector<T> mean;
  if (e.op == EditOp::mean && where.size > 0) mean = mean_of(where, x.value.data());

  Var<T> y = x;
  if (!in_place) {
    y = {Tensor<T>::copy_of(x.value), x.grad ? std::make_shared<Grad<T>>() : nullptr};
  }
  for (const Span& s : where.spans) {
    T* out = y.value.data() + s.offset;
    const int64_t column = where.row ? s.at % where.row : 0;
    for (int64_t i = 0; i < s.length; ++i) {
      const T v = !needs_value          ? T(0)
                  : given == where.size ? e.value[s.at + i]
                  : given == 1          ? e.value[0]
                                        : e.value[column + i];
      switch (e.op) {
        case EditOp::zero:
          out[i] = 0;
          break;
        case EditOp::set:
          out[i] = v;
          break;
        case EditOp::add:
          out[i] += v;
          break;
        case EditOp::scale:
          out[i] *= e.factor;
          break;
        case EditOp::mean:
          out[i] = mean[column + i];
          break;
        case EditOp::interpolate:
          out[i] = (1 - e.factor) * out[i] + e.factor * v;
          break;
        case EditOp::call:
          break;
      }
    }
  }
  if (!tape || !x.grad) return y;

  tape->record([x, y, where, mean_of, op = e.op, factor = e.factor] {
    if (!y.grad->tensor) return;
    Tensor<T> d = Tensor<T>::copy_of(y.grad->tensor);
    std::vector<T> shared;
    if (op == EditOp::mean && where.size > 0) shared = mean_of(where, d.data());
    for (const Span& s : where.spans) {
      T* g = d.data() + s.offset;
      const int64_t column = where.row ? s.at % where.row : 0;
      for (int64_t i = 0; i < s.length; ++i) {
        switch (op) {
          case EditOp::zero:
          case EditOp::set:
            g[i] = 0;
            break;
          case EditOp::scale:
            g[i] *= factor;
            break;
          case EditOp::mean:
            g[i] = shared[column + i];
            break;
          case EditOp::interpolate:
            g[i] *= 1 - factor;
            break;
          case EditOp::add:
          case EditOp::call:
            break;
        }
      }
    }
    add_to_gradient(x, d);
  });
  return y;
}

template <class T>
Var<T> Taps<T>::call(Tape* tape, const Edit<T>& e, const Var<T>& x, const PatternLayout* pattern) {
  const Selection where = select(e.site, x.cols(), pattern);
  Var<T> y{Tensor<T>(x.rows(), x.cols()), x.grad ? std::make_shared<Grad<T>>() : nullptr};
  const auto copy = [&](const T* from, T* to) {
    const std::vector<Span> all{{0, x.value.size(), 0}};
    in_pieces(ctx_, all, x.value.size(), [&](int64_t offset, int64_t, int64_t length) {
      std::copy_n(from + offset, length, to + offset);
    });
  };
  copy(x.value.data(), y.value.data());
  CallResult result{};
  if (where.size == x.value.size()) {
    if (!ctx_.planning)
      result = e.call(ctx_, y.value);  // the selection is the whole value, in its order
  } else {
    Tensor<T> values(1, where.size);
    in_pieces(ctx_, where.spans, where.size, [&](int64_t offset, int64_t at, int64_t length) {
      std::copy_n(x.value.data() + offset, length, values.data() + at);
    });
    if (!ctx_.planning) result = e.call(ctx_, values);
    in_pieces(ctx_, where.spans, where.size, [&](int64_t offset, int64_t at, int64_t length) {
      std::copy_n(values.data() + at, length, y.value.data() + offset);
    });
  }
  if (!tape || !x.grad) return y;

  tape->record([x, y, where, result, gradient = e.gradient] {
    if (!y.grad->tensor) return;
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    Tensor<T> d = Tensor<T>::copy_of(y.grad->tensor);
    for (const Span& s : where.spans) {
      if (gradient == CallGradient::pass) break;
      for (int64_t i = s.offset; i < s.offset + s.length; ++i) {
        const bool kept =
            std::bit_cast<Bits>(x.value.data()[i]) == std::bit_cast<Bits>(y.value.data()[i]);
        if (result == CallResult::replaced || !kept) d.data()[i] = 0;
      }
    }
    add_to_gradient(x, d);
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
  bool own = false;  // edits that nothing is differentiated through share one copy
  each(edits_at_, [&](size_t i) {
    x = edits_[i].op == EditOp::call ? call(tape, edits_[i], x, pattern)
                                     : edit(tape, edits_[i], x, pattern, own && !tape);
    own = true;
  });
  each(captures_at_,
       [&](size_t i) { captures[i] = copy_out(capture_sites_[i], x.value, pattern); });
  if (!tape || !has(gradients_at_, hook, layer)) return x;

  // A node of its own, so that its gradient is the sum over everything that reads it.
  Var<T> y{x.value, std::make_shared<Grad<T>>()};
  tape->record([this, x, y, hook, layer, pattern] {
    if (!y.grad->tensor) y.grad->tensor = Tensor<T>::zeros(y.rows(), y.cols());
    for (const size_t i : gradients_at_.at({hook, layer})) {
      gradients[i] = copy_out(gradient_sites_[i], y.grad->tensor, pattern);
    }
    if (x.grad) add_to_gradient(x, y.grad->tensor);
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
