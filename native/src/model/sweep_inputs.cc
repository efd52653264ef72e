#include "model/sweep_inputs.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>

namespace keyheads {
namespace {

// What edits make of the copies that heads read, kept for those copies only that they touch.
template <class T>
class EditedCopies {
 public:
  EditedCopies(const Var<T>& x, int64_t heads) : x_(x), heads_(heads) {
    slots_.assign(static_cast<size_t>(x.rows() * heads), -1);
  }

  void apply(const std::vector<const Edit<T>*>& edits) {
    for (const Edit<T>* edit : edits) reserve(*edit);
    values_ = Tensor<T>(static_cast<int64_t>(places_.size()), x_.cols());
    if (MemoryPlan::active()) return;
    for (size_t i = 0; i < places_.size(); ++i) {
      std::copy_n(x_.m().row(places_[i] / heads_), x_.cols(), row(i));
    }
    for (const Edit<T>* edit : edits) change(*edit);
  }

  // Those that differ within a row, and which of them each copy is.
  Tensor<T> distinct(std::vector<int32_t>& of_place) const {
    std::vector<int32_t> from;
    std::vector<size_t> order(places_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return places_[a] < places_[b]; });
    of_place.resize(places_.size());
    const auto bytes = static_cast<size_t>(x_.cols()) * sizeof(T);
    int64_t last_row = -1;
    for (const size_t i : order) {
      const int64_t at = places_[i] / heads_;
      const bool same = !MemoryPlan::active() && at == last_row &&
                        std::memcmp(row(i), row(static_cast<size_t>(from.back())), bytes) == 0;
      if (!same) from.push_back(static_cast<int32_t>(i));
      of_place[i] = static_cast<int32_t>(from.size()) - 1;
      last_row = at;
    }
    Tensor<T> out(std::ssize(from), x_.cols());
    for (size_t i = 0; i < from.size() && !MemoryPlan::active(); ++i) {
      std::copy_n(row(static_cast<size_t>(from[i])), x_.cols(), out.m.row(static_cast<int64_t>(i)));
    }
    return out;
  }
  // row * heads + head of every copy
  const std::vector<int64_t>& places() const { return places_; }

 private:
  T* row(size_t i) const { return values_.m.row(static_cast<int64_t>(i)); }

  template <class Use>
  void each(const Edit<T>& edit, const Use& use) const {
    const auto heads = edit.site.heads.empty() ? heads_ : std::ssize(edit.site.heads);
    for (size_t r = 0; r < edit.site.rows.size(); ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t head = edit.site.heads.empty() ? h : edit.site.heads[h];
        use(edit.site.rows[r] * heads_ + head, static_cast<int64_t>(r) * heads + h, h);
      }
    }
  }
  void reserve(const Edit<T>& edit) {
    each(edit, [&](int64_t place, int64_t, int64_t) {
      int64_t& slot = slots_[place];
      if (slot >= 0) return;
      slot = std::ssize(places_);
      places_.push_back(place);
    });
  }

  void change(const Edit<T>& edit) {
    std::vector<int32_t> columns = edit.site.columns;
    if (columns.empty()) {
      columns.resize(static_cast<size_t>(x_.cols()));
      std::iota(columns.begin(), columns.end(), 0);
    }
    const auto count = std::ssize(columns);
    const auto heads = edit.site.heads.empty() ? heads_ : std::ssize(edit.site.heads);
    const std::vector<T> mean =
        edit.op == EditOp::mean ? mean_of(edit, columns, heads) : std::vector<T>();
    const auto given = std::ssize(edit.value);
    each(edit, [&](int64_t place, int64_t at, int64_t h) {
      T* out = row(static_cast<size_t>(slots_[place]));
      for (int64_t c = 0; c < count; ++c) {
        T& value = out[columns[c]];
        const T v = given == 0               ? T(0)
                    : given == 1             ? edit.value[0]
                    : given == heads * count ? edit.value[h * count + c]
                                             : edit.value[at * count + c];
        switch (edit.op) {
          case EditOp::zero:
            value = 0;
            break;
          case EditOp::set:
            value = v;
            break;
          case EditOp::add:
            value += v;
            break;
          case EditOp::scale:
            value *= edit.factor;
            break;
          case EditOp::mean:
            value = mean[h * count + c];
            break;
          case EditOp::interpolate:
            value = (1 - edit.factor) * value + edit.factor * v;
            break;
          case EditOp::call:
            break;
        }
      }
    });
  }

  std::vector<T> mean_of(const Edit<T>& edit, const std::vector<int32_t>& columns,
                         int64_t heads) const {
    const auto count = std::ssize(columns);
    std::vector<double> sum(static_cast<size_t>(heads * count), 0.0);
    each(edit, [&](int64_t place, int64_t, int64_t h) {
      const T* from = row(static_cast<size_t>(slots_[place]));
      for (int64_t c = 0; c < count; ++c) sum[h * count + c] += from[columns[c]];
    });
    std::vector<T> mean;
    for (const double s : sum) {
      mean.push_back(static_cast<T>(s / static_cast<double>(edit.site.rows.size())));
    }
    return mean;
  }

  const Var<T>& x_;
  int64_t heads_;
  std::vector<int64_t> slots_, places_;
  Tensor<T> values_;
};

}  // namespace

template <class T>
void show_inputs(Graph<T>& graph, const Spec& spec, SweepPhase<T>& phase, const Var<T>& x) {
  Var<T> shared;
  if (phase.taps.wanted(Hook::attn_in, phase.layer())) {
    shared = phase.tap(Hook::attn_in, graph.repeat(x, spec.heads));
  }
  const auto side = [&](Hook hook, int64_t heads) {
    if (!phase.taps.wanted(hook, phase.layer())) return;
    phase.tap(hook, shared.value ? shared : graph.repeat(x, heads));
  };
  side(Hook::q_input, spec.heads);
  side(Hook::k_input, spec.kv_heads);
  side(Hook::v_input, spec.kv_heads);
}

template <class T>
typename Block<T>::Qkv project_edited(const Model<T>& model, Graph<T>& graph, SweepPhase<T>& phase,
                                      int64_t layer, const Var<T>& x) {
  const Spec& spec = model.spec;
  const LayerWeights<T>& w = model.weights.layers[layer];
  show_inputs(graph, spec, phase, x);
  const std::vector<Site> none;
  const std::vector<Edit<T>> no_edits;
  const Batch no_batch{{}, {0}};
  Taps<T> silent(graph.context(), spec, no_batch, none, no_edits, none);
  Block<T> block(model, graph, silent);
  const Var<T> in = phase.block.attention_in(layer, x);

  const auto side = [&](Hook hook, int64_t heads, const Parameter<T>& weight,
                        const Parameter<T>* bias) {
    const Var<T> y = graph.linear(in, weight, bias);
    std::vector<const Edit<T>*> edits;
    for (const Hook from : {Hook::attn_in, hook}) {
      for (const Edit<T>& edit : phase.input_edits()) {
        if (edit.site.hook == from) edits.push_back(&edit);
      }
    }
    if (edits.empty()) return y;
    EditedCopies<T> copies(x, heads);
    copies.apply(edits);
    std::vector<int32_t> which;
    const Var<T> read = graph.constant(copies.distinct(which));
    const Var<T> own = graph.linear(block.attention_in(layer, read), weight, bias);
    const int64_t width = y.cols() / heads;
    for (size_t i = 0; i < which.size() && !graph.context().planning; ++i) {
      const int64_t place = copies.places()[i], start = place % heads * width;
      std::copy_n(own.m().row(which[i]) + start, width, y.m().row(place / heads) + start);
    }
    return y;
  };
  return {side(Hook::q_input, spec.heads, *w.wq, w.bq),
          side(Hook::k_input, spec.kv_heads, *w.wk, w.bk),
          side(Hook::v_input, spec.kv_heads, *w.wv, w.bv)};
}

template void show_inputs(Graph<float>&, const Spec&, SweepPhase<float>&, const Var<float>&);
template void show_inputs(Graph<double>&, const Spec&, SweepPhase<double>&, const Var<double>&);
template Block<float>::Qkv project_edited(const Model<float>&, Graph<float>&, SweepPhase<float>&,
                                          int64_t, const Var<float>&);
template Block<double>::Qkv project_edited(const Model<double>&, Graph<double>&,
                                           SweepPhase<double>&, int64_t, const Var<double>&);

}  // namespace keyheads
