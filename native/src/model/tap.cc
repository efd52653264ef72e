#include "model/tap.h"

#include <algorithm>

#include "base/check.h"

namespace keyheads {
namespace {

int64_t head_count(const HookInfo& info, const Spec& spec) {
  return info.heads == Heads::kv ? spec.kv_heads : info.heads == Heads::query ? spec.heads : 1;
}

const char* op_name(EditOp op) {
  constexpr const char* names[] = {"zero", "set", "add", "scale", "mean", "interpolate"};
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
    case When::always:
      return true;
  }
  return true;
}

}  // namespace

template <class T>
Taps<T>::Taps(const Spec& spec, const Batch& batch, const std::vector<Site>& captures,
              const std::vector<Edit<T>>& edits, const std::vector<Site>& gradients)
    : captures(captures.size()),
      gradients(gradients.size()),
      spec_(spec),
      batch_(batch),
      capture_sites_(captures),
      edits_(edits),
      gradient_sites_(gradients) {
  const auto add = [&](Index& index, const Site& site, size_t i, const char* what) {
    validate(site, what);
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
void Taps<T>::validate(const Site& site, const char* what) const {
  const HookInfo& info = info_of(site.hook);
  if (!exists(info, spec_)) fail("BAD_ARGUMENT", what, ": this model has no ", info.name);
  if (info.per == Per::model ? site.layer != -1 : site.layer < 0 || site.layer >= spec_.layers) {
    fail("BAD_ARGUMENT", what, ": ", info.name, " has no layer ", site.layer, "; this model has ",
         spec_.layers, " layers");
  }
  const int64_t heads = head_count(info, spec_);
  if (site.head != -1 && (info.heads == Heads::none || site.head < 0 || site.head >= heads)) {
    fail("BAD_ARGUMENT", what, ": ", info.name, " has no head ", site.head, "; it has ",
         info.heads == Heads::none ? 0 : heads, " heads");
  }
  if (site.hook == Hook::attn_in && spec_.heads != spec_.kv_heads) {
    fail("BAD_ARGUMENT", what, ": hook_attn_in is not defined with grouped queries; use ",
         "hook_q_input, hook_k_input or hook_v_input");
  }
  for (size_t i = 0; i < site.rows.size(); ++i) {
    const int32_t row = site.rows[i];
    if (row < 0 || row >= batch_.rows() || (i > 0 && row <= site.rows[i - 1])) {
      fail("BAD_ARGUMENT", what, ": rows of ", info.name, " must ascend from 0 to ",
           batch_.rows() - 1, ", found ", row);
    }
  }
}

template <class T>
std::vector<typename Taps<T>::Span> Taps<T>::spans(const Site& site, int64_t cols,
                                                   const PatternLayout* pattern) const {
  const HookInfo& info = info_of(site.hook);
  std::vector<Span> out;
  if (!pattern) {
    const int64_t width = cols / head_count(info, spec_);
    const auto add = [&](int64_t row) {
      out.push_back(site.head < 0 ? Span{row * cols, cols}
                                  : Span{row * cols + site.head * width, width});
    };
    if (site.all_rows) {
      for (int64_t row = 0; row < batch_.rows(); ++row) add(row);
    } else {
      for (const int32_t row : site.rows) add(row);
    }
    return out;
  }
  const int64_t first = std::max<int64_t>(site.head, 0);
  const int64_t last = site.head < 0 ? spec_.heads : site.head + 1;
  size_t next = 0;
  for (int64_t item = 0; item < batch_.items(); ++item) {
    const int64_t n = batch_.length(item);
    if (site.all_rows) {
      out.push_back({pattern->offsets[item] + first * n * n, (last - first) * n * n});
      continue;
    }
    for (; next < site.rows.size() && site.rows[next] < batch_.offsets[item + 1]; ++next) {
      const int64_t query = site.rows[next] - batch_.offsets[item];
      for (int64_t h = first; h < last; ++h) {
        out.push_back({pattern->offsets[item] + (h * n + query) * n, n});
      }
    }
  }
  return out;
}

template <class T>
Var<T> Taps<T>::edit(Tape* tape, const Edit<T>& e, Var<T> x, const PatternLayout* pattern) {
  const HookInfo& info = info_of(e.site.hook);
  const std::vector<Span> where = spans(e.site, x.cols(), pattern);
  int64_t total = 0;
  for (const Span& s : where) total += s.length;
  const int64_t row = where.empty() ? 0 : where.front().length;
  const auto given = static_cast<int64_t>(e.value.size());
  const bool needs_value =
      e.op == EditOp::set || e.op == EditOp::add || e.op == EditOp::interpolate;
  if (needs_value && given != total && given != 1 && (pattern || given != row)) {
    fail("BAD_ARGUMENT", "edit ", op_name(e.op), " at ", info.name, ": value has ", given,
         " elements, expected ", total, pattern ? "" : ", or one row of ",
         pattern ? std::string() : std::to_string(row), ", or 1");
  }
  if (e.op == EditOp::mean && pattern) {
    fail("BAD_ARGUMENT", "edit mean is not defined at ", info.name, "; use set");
  }
  std::vector<T> mean;
  if (e.op == EditOp::mean && !where.empty()) {
    std::vector<double> sum(static_cast<size_t>(row), 0.0);
    for (const Span& s : where) {
      for (int64_t i = 0; i < row; ++i) sum[i] += x.value.data()[s.offset + i];
    }
    for (const double v : sum)
      mean.push_back(static_cast<T>(v / static_cast<double>(where.size())));
  }

  Var<T> y{Tensor<T>::copy_of(x.value), x.grad ? std::make_shared<Grad<T>>() : nullptr};
  int64_t seen = 0;
  for (const Span& s : where) {
    T* out = y.value.data() + s.offset;
    for (int64_t i = 0; i < s.length; ++i, ++seen) {
      const T v = !needs_value     ? T(0)
                  : given == total ? e.value[seen]
                  : given == 1     ? e.value[0]
                                   : e.value[i];
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
          out[i] = mean[i];
          break;
        case EditOp::interpolate:
          out[i] = (1 - e.factor) * out[i] + e.factor * v;
          break;
      }
    }
  }
  if (!tape || !x.grad) return y;

  tape->record([x, y, where, row, op = e.op, factor = e.factor] {
    if (!y.grad->tensor) return;
    Tensor<T> d = Tensor<T>::copy_of(y.grad->tensor);
    std::vector<double> sum(op == EditOp::mean ? static_cast<size_t>(row) : 0, 0.0);
    for (const Span& s : where) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += d.data()[s.offset + i];
    }
    for (const Span& s : where) {
      T* g = d.data() + s.offset;
      for (int64_t i = 0; i < s.length; ++i) {
        switch (op) {
          case EditOp::zero:
          case EditOp::set:
            g[i] = 0;
            break;
          case EditOp::add:
            break;
          case EditOp::scale:
            g[i] *= factor;
            break;
          case EditOp::mean:
            g[i] = static_cast<T>(sum[i] / static_cast<double>(where.size()));
            break;
          case EditOp::interpolate:
            g[i] *= 1 - factor;
            break;
        }
      }
    }
    bool accumulate;
    const Mat<T> target = x.grad->target(x.rows(), x.cols(), accumulate);
    for (int64_t i = 0; i < d.size(); ++i) {
      target.data[i] = accumulate ? target.data[i] + d.data()[i] : d.data()[i];
    }
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
  each(edits_at_, [&](size_t i) { x = edit(tape, edits_[i], x, pattern); });
  const auto copy_out = [](const std::vector<Span>& where, const T* data, std::vector<T>& out) {
    for (const Span& s : where) out.insert(out.end(), data + s.offset, data + s.offset + s.length);
  };
  each(captures_at_, [&](size_t i) {
    const auto where = spans(capture_sites_[i], x.cols(), pattern);
    int64_t total = 0;
    for (const Span& s : where) total += s.length;
    captures[i].reserve(static_cast<size_t>(total));
    copy_out(where, x.value.data(), captures[i]);
  });
  if (!tape || !has(gradients_at_, hook, layer)) return x;

  // A node of its own, so that its gradient is the sum over everything that reads it.
  Var<T> y{x.value, std::make_shared<Grad<T>>()};
  tape->record([this, x, y, hook, layer, pattern] {
    if (!y.grad->tensor) y.grad->tensor = Tensor<T>::zeros(y.rows(), y.cols());
    for (const size_t i : gradients_at_.at({hook, layer})) {
      const auto where = spans(gradient_sites_[i], y.cols(), pattern);
      for (const Span& s : where) {
        const T* from = y.grad->tensor.data() + s.offset;
        gradients[i].insert(gradients[i].end(), from, from + s.length);
      }
    }
    if (!x.grad) return;
    bool accumulate;
    const Mat<T> target = x.grad->target(x.rows(), x.cols(), accumulate);
    const T* from = y.grad->tensor.data();
    for (int64_t i = 0; i < y.value.size(); ++i) {
      target.data[i] = accumulate ? target.data[i] + from[i] : from[i];
    }
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
