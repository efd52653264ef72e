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
  std::vector<Tensor<T>> resid_pre, z, attn_raw, mlp_raw;  // END rows
  std::vector<Tensor<T>> k, v;  // every row, keys as attention uses them; only if needed
  Tensor<T> last;               // END rows of the last resid_post
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
        graph_(ctx, nullptr, nullptr),
        taps_(ctx, spec_, chunk.batch, no_sites_, no_edits_, no_sites_),
        block_(model, graph_, taps_) {}

  void run() {
    run_base();
    order_variants();
    Tensor<T> x;
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      check_cancelled(ctx_);
      x = join(std::move(x), layer, base_.resid_pre[layer]);
      if (active_ == 0) continue;
      const Var<T> in = graph_.constant(x);
      const Var<T> attn = block_.attention_out(layer, attention_raw(layer, in));
      const Var<T> mid = graph_.add(in, attn);
      const Var<T> mlp = block_.mlp_out(layer, mlp_raw(layer, spec_.parallel ? in : mid));
      x = graph_.add(mid, mlp).value;
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
      add(Hook::attn_out_raw, l, false);
      add(Hook::mlp_out_raw, l, false);
      if (!keys) continue;
      add(Hook::k, l, true);
      add(Hook::v, l, true);
    }
    add(Hook::resid_post, spec_.layers - 1, false);
    Readout readout = chunk_.readout_of(1);
    readout.rows = ends.rows;
    ForwardResult<T> run = forward<T>(ctx_, model_, chunk_.batch, sites, {}, readout, nullptr);
    chunk_.store_base(run.readout);
    size_t next = 0;
    const auto take = [&](std::vector<Tensor<T>>& into) {
      into.push_back(std::move(run.captures[next++]));
    };
    for (int64_t l = 0; l < spec_.layers; ++l) {
      take(base_.resid_pre);
      take(base_.z);
      take(base_.attn_raw);
      take(base_.mlp_raw);
      if (!keys) continue;
      take(base_.k);
      take(base_.v);
    }
    base_.last = std::move(run.captures[next]);
    if (keys) place_keys();
  }

  void place_keys() {
    std::vector<int32_t> positions;
    for (int64_t i = 0; i < items_; ++i) {
      for (int32_t p = 0; p < chunk_.batch.length(i); ++p) positions.push_back(p);
    }
    for (int64_t l = 0; l < spec_.layers; ++l) {
      const Tensor<T> k = base_.k[l].reshaped(chunk_.batch.rows(), spec_.kv_width());
      base_.k[l] = block_.placed_keys(l, graph_.constant(k), positions).value;
    }
  }

  // Appends the rows of the variants that begin at this layer.
  Tensor<T> join(Tensor<T> x, int64_t layer, const Tensor<T>& entering) {
    int64_t last = active_;
    while (last < static_cast<int64_t>(order_.size()) && first_layer(order_[last]) == layer) ++last;
    if (last == active_) return x;
    Tensor<T> joined(last * items_, spec_.d_model);
    if (x) std::copy_n(x.data(), x.size(), joined.data());
    for (int64_t i = active_; i < last; ++i) {
      std::copy_n(entering.data(), entering.size(), joined.m.row(i * items_));
    }
    active_ = last;
    return joined;
  }

  // END rows of the base run, once for every active variant
  Tensor<T> repeated(const Tensor<T>& base) const {
    Tensor<T> out(active_ * items_, spec_.d_model);
    for (int64_t i = 0; i < active_; ++i) {
      std::copy_n(base.data(), base.size(), out.m.row(i * items_));
    }
    return out;
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

  Var<T> attention_raw(int64_t layer, const Var<T>& x) {
    return chunk_.request.freeze == Freeze::none ? attention_recomputed(layer, x)
                                                 : attention_frozen(layer);
  }

  // ref + (z_new - z_ref) W_O over the edited heads
  Var<T> attention_frozen(int64_t layer) {
    const Tensor<T> out = repeated(base_.attn_raw[layer]);
    std::vector<int64_t> edited;
    each_edit(layer, true, [&](const VariantEdit&, int64_t i) {
      if (edited.empty() || edited.back() != i) edited.push_back(i);
    });
    if (edited.empty()) return graph_.constant(out);
    const int64_t width = spec_.q_width();
    Tensor<T> delta = Tensor<T>::zeros(static_cast<int64_t>(edited.size()) * items_, width);
    for (size_t at = 0; at < edited.size(); ++at) {
      for (const VariantEdit& e : edits_of(edited[at])) {
        if (e.layer != layer || e.head < 0) continue;
        for (int64_t item = 0; item < items_; ++item) {
          T* to = delta.m.row(static_cast<int64_t>(at) * items_ + item) + e.head * spec_.d_head;
          const T* ref = base_.z[layer].data() + item * width + e.head * spec_.d_head;
          const T* value = e.bank < 0 ? nullptr : bank_row(e, item);
          for (int64_t c = 0; c < spec_.d_head; ++c) to[c] = (value ? value[c] : T(0)) - ref[c];
        }
      }
    }
    const Var<T> written =
        graph_.linear(graph_.constant(delta), *model_.weights.layers[layer].wo, nullptr);
    for (size_t at = 0; at < edited.size(); ++at) {
      const Mat<T> rows{out.m.row(edited[at] * items_), items_, spec_.d_model, spec_.d_model};
      const Mat<const T> from{written.m().row(static_cast<int64_t>(at) * items_), items_,
                              spec_.d_model, spec_.d_model};
      ops::add_scaled(ctx_, ops::AddScaled<T>{.y = rows, .x = from, .factor = T(1)});
    }
    return graph_.constant(out);
  }

  // The rows' own queries, keys and values; earlier keys and values are the base run's.
  Var<T> attention_recomputed(int64_t layer, const Var<T>& x) {
    const auto [q, k, v] = block_.project(layer, x, block_.attention_in(layer, x));
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
    const Var<T> z =
        graph_.attention(block_.placed_queries(layer, q, positions),
                         block_.placed_keys(layer, k, positions), v, block_.heads(layer, segments));
    each_edit(layer, true, [&](const VariantEdit& e, int64_t i) {
      for (int64_t item = 0; item < items_; ++item) {
        T* out = z.m().row(i * items_ + item) + e.head * spec_.d_head;
        const T* value = e.bank < 0 ? nullptr : bank_row(e, item);
        for (int64_t c = 0; c < spec_.d_head; ++c) out[c] = value ? value[c] : T(0);
      }
    });
    return block_.attention_raw(layer, z);
  }

  Var<T> mlp_raw(int64_t layer, const Var<T>& x) {
    const Var<T> out = chunk_.request.freeze == Freeze::attention_mlp
                           ? graph_.constant(repeated(base_.mlp_raw[layer]))
                           : block_.mlp_raw(layer, block_.mlp_in(layer, x));
    each_edit(layer, false, [&](const VariantEdit& e, int64_t i) {
      for (int64_t item = 0; item < items_; ++item) {
        T* row = out.m().row(i * items_ + item);
        if (e.bank < 0) {
          std::fill_n(row, spec_.d_model, T(0));
        } else {
          std::copy_n(bank_row(e, item), spec_.d_model, row);
        }
      }
    });
    return out;
  }

  ReadoutResult<T> read(const Tensor<T>& x, int64_t copies) {
    ReadoutResult<T> out;
    read_logits<T>(ctx_, model_, block_.final_norm(graph_.constant(x)).m(),
                   chunk_.readout_of(copies), out);
    return out;
  }

  Context& ctx_;
  const Model<T>& model_;
  const Spec& spec_;
  const SweepChunk<T>& chunk_;
  int64_t items_;
  Graph<T> graph_;
  const std::vector<Site> no_sites_;
  const std::vector<Edit<T>> no_edits_;
  Taps<T> taps_;  // silent
  Block<T> block_;
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
