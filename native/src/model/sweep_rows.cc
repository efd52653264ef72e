// Variants as rows of one matrix (docs/method.md, exact fast path). Only the last position of an
// item can differ from the base run, so a variant is one row an item; rows join at the first layer
// that their variant edits. Attention is frozen, or attends to the base run's keys and values.
#include <algorithm>
#include <numeric>

#include "model/sweep.h"
#include "ops/elementwise.h"

namespace keyheads {
namespace {

// What the base run leaves behind, per layer.
template <class T>
struct Base {
  std::vector<std::vector<T>> resid_pre, z, attn_out, mlp_out;  // END rows
  std::vector<std::vector<T>> k, v;                             // every row; only if needed
  std::vector<T> last;                                          // END rows of the last resid_post
};

template <class T>
class RowSweep {
 public:
  RowSweep(Context& ctx, const Model<T>& model, const SweepChunk<T>& chunk)
      : ctx_(ctx),
        model_(model),
        spec_(model.spec),
        chunk_(chunk),
        items_(chunk.batch.items()),
        graph_(ctx, nullptr, nullptr) {}

  void run() {
    run_base();
    order_variants();
    Tensor<T> x;
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      check_cancelled(ctx_);
      x = join(std::move(x), layer, base_.resid_pre[layer]);
      if (active_ == 0) continue;
      attention(layer, x);
      mlp(layer, x);
    }
    x = join(std::move(x), spec_.layers, base_.last);
    if (active_ == 0) return;
    std::vector<int64_t> variants;
    for (int64_t i = 0; i < active_; ++i) variants.push_back(order_[i]);
    chunk_.store(read(x, active_), variants);
  }

 private:
  const std::vector<VariantEdit>& edits_of(int64_t position) const {
    return chunk_.request.variants[order_[position]];
  }
  int64_t first_layer(int64_t variant) const {
    int64_t first = spec_.layers;
    for (const VariantEdit& e : chunk_.request.variants[variant]) {
      first = std::min<int64_t>(first, e.layer);
    }
    return first;
  }

  void order_variants() {
    order_.resize(chunk_.request.variants.size());
    std::iota(order_.begin(), order_.end(), int64_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](int64_t a, int64_t b) { return first_layer(a) < first_layer(b); });
  }

  void run_base() {
    Site ends;
    ends.all_rows = false;
    for (int64_t i = 0; i < items_; ++i) {
      ends.rows.push_back(chunk_.batch.offsets[i + 1] - 1);
    }
    const bool keys = chunk_.request.freeze == Freeze::none;
    std::vector<Site> sites;
    const auto add = [&](Hook hook, int64_t layer, bool all) {
      Site site = all ? Site{} : ends;
      site.hook = hook;
      site.layer = layer;
      sites.push_back(site);
    };
    for (int64_t l = 0; l < spec_.layers; ++l) {
      add(Hook::resid_pre, l, false);
      add(Hook::z, l, false);
      add(Hook::attn_out, l, false);
      add(Hook::mlp_out, l, false);
      if (!keys) continue;
      add(spec_.rotary ? Hook::rot_k : Hook::k, l, true);
      add(Hook::v, l, true);
    }
    add(Hook::resid_post, spec_.layers - 1, false);
    Readout readout = chunk_.readout_of(1);
    readout.rows = ends.rows;
    ForwardResult<T> run = forward<T>(ctx_, model_, chunk_.batch, sites, {}, readout, nullptr);
    chunk_.store_base(run.readout);
    size_t next = 0;
    const auto take = [&](std::vector<std::vector<T>>& into) {
      into.push_back(std::move(run.captures[next++]));
    };
    for (int64_t l = 0; l < spec_.layers; ++l) {
      take(base_.resid_pre);
      take(base_.z);
      take(base_.attn_out);
      take(base_.mlp_out);
      if (!keys) continue;
      take(base_.k);
      take(base_.v);
    }
    base_.last = std::move(run.captures[next]);
  }

  // Appends the rows of the variants that begin at this layer.
  Tensor<T> join(Tensor<T> x, int64_t layer, const std::vector<T>& entering) {
    int64_t last = active_;
    while (last < static_cast<int64_t>(order_.size()) && first_layer(order_[last]) == layer) ++last;
    if (last == active_) return x;
    Tensor<T> joined(last * items_, spec_.d_model);
    if (x) std::copy_n(x.data(), x.size(), joined.data());
    for (int64_t i = active_; i < last; ++i) {
      std::copy(entering.begin(), entering.end(), joined.m.row(i * items_));
    }
    active_ = last;
    return joined;
  }

  // x row + base row, for every active variant
  void add_base(Tensor<T>& x, const std::vector<T>& base) {
    const Mat<const T> from{base.data(), items_, spec_.d_model, spec_.d_model};
    for (int64_t i = 0; i < active_; ++i) {
      const Mat<T> rows{x.m.row(i * items_), items_, spec_.d_model, spec_.d_model};
      ops::add_scaled(ctx_, ops::AddScaled<T>{.y = rows, .x = from, .factor = T(1)});
    }
  }

  const T* bank_row(const VariantEdit& e, int64_t item) const {
    const Bank<T>& bank = chunk_.request.banks[e.bank];
    const int64_t row = e.layer * chunk_.bank_rows() + chunk_.end_bank_row(item);
    return e.head < 0 ? bank.mlp.data() + row * spec_.d_model
                      : bank.z.data() + row * spec_.q_width() + e.head * spec_.d_head;
  }

  // Calls use(edit, position) for the z edits, or the MLP edits, of this layer.
  template <class Use>
  void each_edit(int64_t layer, bool of_heads, const Use& use) const {
    for (int64_t i = 0; i < active_; ++i) {
      for (const VariantEdit& e : edits_of(i)) {
        if (e.layer == layer && (e.head >= 0) == of_heads) use(e, i);
      }
    }
  }

  void attention(int64_t layer, Tensor<T>& x) {
    chunk_.request.freeze == Freeze::none ? attention_recomputed(layer, x)
                                          : attention_frozen(layer, x);
  }

  // x += attn_ref + (z_new - z_ref) W_O over the edited heads
  void attention_frozen(int64_t layer, Tensor<T>& x) {
    add_base(x, base_.attn_out[layer]);
    std::vector<int64_t> edited;
    each_edit(layer, true, [&](const VariantEdit&, int64_t i) {
      if (edited.empty() || edited.back() != i) edited.push_back(i);
    });
    if (edited.empty()) return;
    const int64_t width = spec_.q_width();
    Tensor<T> delta = Tensor<T>::zeros(static_cast<int64_t>(edited.size()) * items_, width);
    for (size_t at = 0; at < edited.size(); ++at) {
      for (const VariantEdit& e : edits_of(edited[at])) {
        if (e.layer != layer || e.head < 0) continue;
        for (int64_t item = 0; item < items_; ++item) {
          T* out = delta.m.row(static_cast<int64_t>(at) * items_ + item) + e.head * spec_.d_head;
          const T* ref = base_.z[layer].data() + item * width + e.head * spec_.d_head;
          const T* value = e.bank < 0 ? nullptr : bank_row(e, item);
          for (int64_t c = 0; c < spec_.d_head; ++c) out[c] = (value ? value[c] : T(0)) - ref[c];
        }
      }
    }
    const Var<T> written =
        graph_.linear(graph_.constant(delta), *model_.weights.layers[layer].wo, nullptr);
    for (size_t at = 0; at < edited.size(); ++at) {
      const Mat<T> rows{x.m.row(edited[at] * items_), items_, spec_.d_model, spec_.d_model};
      const Mat<const T> from{written.m().row(static_cast<int64_t>(at) * items_), items_,
                              spec_.d_model, spec_.d_model};
      ops::add_scaled(ctx_, ops::AddScaled<T>{.y = rows, .x = from, .factor = T(1)});
    }
  }

  Var<T> norm(const Tensor<T>& x, const Parameter<T>& gain, const Parameter<T>* bias) {
    return graph_.norm(graph_.constant(x), gain, bias, static_cast<T>(spec_.norm_eps),
                       spec_.layer_norm);
  }

  // The rows' own queries, keys and values; earlier keys and values are the base run's.
  void attention_recomputed(int64_t layer, Tensor<T>& x) {
    const LayerWeights<T>& w = model_.weights.layers[layer];
    const Var<T> n = norm(x, *w.attn_norm, w.attn_norm_bias);
    Var<T> q = graph_.linear(n, *w.wq, w.bq), k = graph_.linear(n, *w.wk, w.bk);
    const Var<T> v = graph_.linear(n, *w.wv, w.bv);
    std::vector<int32_t> positions;
    std::vector<ops::Segment<T>> segments;
    const int64_t kv = spec_.kv_width();
    for (int64_t row = 0; row < active_ * items_; ++row) {
      const int64_t item = row % items_, past = chunk_.batch.length(item) - 1;
      const int64_t start = chunk_.batch.offsets[item] * kv;
      positions.push_back(static_cast<int32_t>(past));
      segments.push_back(
          {row, 1, base_.k[layer].data() + start, base_.v[layer].data() + start, past});
    }
    if (spec_.rotary) {
      q = graph_.rotary(q, positions, model_.cosines, model_.sines, spec_.heads);
      k = graph_.rotary(k, positions, model_.cosines, model_.sines, spec_.kv_heads);
    }
    Var<T> z = graph_.attention(q, k, v,
                                {segments, spec_.heads, spec_.kv_heads, spec_.d_head,
                                 static_cast<T>(spec_.attention_scale)});
    each_edit(layer, true, [&](const VariantEdit& e, int64_t i) {
      for (int64_t item = 0; item < items_; ++item) {
        T* out = z.m().row(i * items_ + item) + e.head * spec_.d_head;
        const T* value = e.bank < 0 ? nullptr : bank_row(e, item);
        for (int64_t c = 0; c < spec_.d_head; ++c) out[c] = value ? value[c] : T(0);
      }
    });
    add_to(x, graph_.linear(z, *w.wo, w.bo));
  }

  void mlp(int64_t layer, Tensor<T>& x) {
    const LayerWeights<T>& w = model_.weights.layers[layer];
    Tensor<T> out;
    if (chunk_.request.freeze == Freeze::attention_mlp) {
      out = Tensor<T>(x.rows(), x.cols());
      for (int64_t i = 0; i < active_; ++i) {
        std::copy(base_.mlp_out[layer].begin(), base_.mlp_out[layer].end(), out.m.row(i * items_));
      }
    } else {
      const Var<T> n = norm(x, *w.mlp_norm, w.mlp_norm_bias);
      const Var<T> pre =
          spec_.gated ? graph_.linear(n, *w.w_gate, w.b_gate) : graph_.linear(n, *w.w_up, w.b_up);
      const Var<T> linear = spec_.gated ? graph_.linear(n, *w.w_up, w.b_up) : Var<T>{};
      const Var<T> post = graph_.activate(pre, linear, spec_.activation);
      out = graph_.linear(post, *w.w_down, w.b_down).value;
    }
    each_edit(layer, false, [&](const VariantEdit& e, int64_t i) {
      for (int64_t item = 0; item < items_; ++item) {
        T* row = out.m.row(i * items_ + item);
        if (e.bank < 0) {
          std::fill_n(row, spec_.d_model, T(0));
        } else {
          std::copy_n(bank_row(e, item), spec_.d_model, row);
        }
      }
    });
    add_to(x, graph_.constant(out));
  }

  void add_to(Tensor<T>& x, const Var<T>& y) {
    ops::add(ctx_, ops::Add<T>{.y = x.m, .a = x.m, .b = y.m()});
  }

  ReadoutResult<T> read(const Tensor<T>& x, int64_t copies) {
    const Weights<T>& w = model_.weights;
    ReadoutResult<T> out;
    read_logits<T>(ctx_, model_, norm(x, *w.final_norm, w.final_norm_bias).m(),
                   chunk_.readout_of(copies), out);
    return out;
  }

  Context& ctx_;
  const Model<T>& model_;
  const Spec& spec_;
  const SweepChunk<T>& chunk_;
  int64_t items_;
  Graph<T> graph_;
  Base<T> base_;
  std::vector<int64_t> order_;  // variants by their first edited layer
  int64_t active_ = 0;          // how many of them have joined
};

}  // namespace

template <class T>
void sweep_rows(Context& ctx, const Model<T>& model, const SweepChunk<T>& chunk) {
  RowSweep<T>(ctx, model, chunk).run();
}

template void sweep_rows(Context&, const Model<float>&, const SweepChunk<float>&);
template void sweep_rows(Context&, const Model<double>&, const SweepChunk<double>&);

}  // namespace keyheads
