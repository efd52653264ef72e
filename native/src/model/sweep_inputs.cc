#include "model/sweep_inputs.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "ops/elementwise.h"

namespace keyheads {
namespace {

// What edits make of the copies that heads read, kept for those copies only that they touch.
template <class T>
class EditedCopies {
 public:
  EditedCopies(Context& ctx, const Var<T>& x, int64_t heads) : ctx_(ctx), x_(x), heads_(heads) {
    slots_.assign(static_cast<size_t>(x.rows() * heads), -1);
  }

  void apply(const std::vector<const Edit<T>*>& edits) {
    for (const Edit<T>* edit : edits) reserve(*edit);
    std::vector<int32_t> rows;
    for (const int64_t place : places_) rows.push_back(static_cast<int32_t>(place / heads_));
    values_ = rows_of(x_.value, rows);
    for (const Edit<T>* edit : edits) change(*edit);
  }

  // Those that differ within a row, and which of them each copy is.
  Tensor<T> distinct(std::vector<int32_t>& of_place) const {
    std::vector<int32_t> order(places_.size()), from;
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](int32_t a, int32_t b) { return places_[a] < places_[b]; });
    const std::vector<int32_t> equal = equal_to_next(order);
    of_place.resize(places_.size());
    for (size_t i = 0; i < order.size(); ++i) {
      const bool same = i > 0 && equal[i - 1] != 0 &&
                        places_[order[i]] / heads_ == places_[order[i - 1]] / heads_;
      if (!same) from.push_back(order[i]);
      of_place[order[i]] = static_cast<int32_t>(from.size()) - 1;
    }
    return rows_of(values_, from);
  }
  // row * heads + head of every copy
  const std::vector<int64_t>& places() const { return places_; }

 private:
  Tensor<T> rows_of(const Tensor<T>& from, const std::vector<int32_t>& rows) const {
    Tensor<T> out(std::ssize(rows), from.cols());
    ops::gather_rows(ctx_, ops::GatherRows<T>{.y = out.m, .x = from.m, .rows = rows.data()});
    return out;
  }
  // Whether a copy has the bits of the next one in this order; while planning, none has.
  std::vector<int32_t> equal_to_next(const std::vector<int32_t>& order) const {
    std::vector<int32_t> equal(order.size(), 0);
    if (order.size() < 2) return equal;
    ops::equal_rows(ctx_, ops::EqualRows<T>{.equal = equal.data(),
                                            .x = values_.m,
                                            .a = order.data(),
                                            .b = order.data() + 1,
                                            .count = std::ssize(order) - 1});
    return equal;
  }

  template <class Use>
  void each(const Edit<T>& edit, const Use& use) const {
    const auto heads = edit.site.heads.empty() ? heads_ : std::ssize(edit.site.heads);
    for (size_t r = 0; r < edit.site.rows.size(); ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t head = edit.site.heads.empty() ? h : edit.site.heads[h];
        use(edit.site.rows[r] * heads_ + head);
      }
    }
  }
  void reserve(const Edit<T>& edit) {
    each(edit, [&](int64_t place) {
      int64_t& slot = slots_[place];
      if (slot >= 0) return;
      slot = std::ssize(places_);
      places_.push_back(place);
    });
  }

  void change(const Edit<T>& edit) {
    const auto runs = runs_of(edit.site.columns);
    const int64_t width = runs.empty() ? x_.cols() : std::ssize(edit.site.columns);
    Selection where;
    where.row = width * (edit.site.heads.empty() ? heads_ : std::ssize(edit.site.heads));
    each(edit, [&](int64_t place) {
      const int64_t start = slots_[place] * x_.cols();
      if (runs.empty()) where.add(start, width);
      for (const auto& [first, length] : runs) where.add(start + first, length);
    });
    apply_edit(ctx_, where, edit.op, edit.value, edit.factor, values_);
  }

  Context& ctx_;
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
    EditedCopies<T> copies(graph.context(), x, heads);
    copies.apply(edits);
    std::vector<int32_t> which;
    const Var<T> read = graph.constant(copies.distinct(which));
    const Var<T> own = graph.linear(block.attention_in(layer, read), weight, bias);
    const int64_t width = y.cols() / heads;
    std::vector<ops::Span> blocks;  // of heads
    for (size_t i = 0; i < which.size(); ++i) {
      const int64_t place = copies.places()[i];
      blocks.push_back({place * width, width, which[i] * y.cols() + place % heads * width});
    }
    ops::scatter_spans(graph.context(), ops::ScatterSpans<T>{.y = y.value.data(),
                                                             .x = own.value.data(),
                                                             .spans = blocks.data(),
                                                             .count = std::ssize(blocks)});
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
