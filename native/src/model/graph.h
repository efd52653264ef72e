// The nodes that decoders are made of: each runs an op forward and, where a gradient is wanted,
// records the op's backward beside it.
#pragma once
#include <map>
#include <utility>
#include <vector>

#include "base/context.h"
#include "model/model.h"
#include "model/tape.h"
#include "model/weights.h"
#include "ops/attention.h"

namespace keyheads {

// A selected part of one weight, with its gradient, dense: (n1 - n0, k1 - k0).
template <class T>
struct GradientSlice {
  int64_t n0, n1, k0, k1;
  Mat<T> gradient;
};
// The selected slices of every weight of one trainer. Weights that are not in it have none.
template <class T>
using SliceMap = std::map<const Parameter<T>*, std::vector<GradientSlice<T>>>;

// Derivatives that backward uses in place of the true ones (BackwardRule of binding.ts). What is
// constant passes no gradient on; the values of a run are the same under every rule.
struct BackwardRules {
  bool constant_patterns = false;
  bool constant_norm_scales = false;
  bool constant_z = false;
  bool constant_mlps = false;
  bool secant_activations = false;
};

template <class T>
class Graph {
 public:
  // Without a tape nothing is recorded. `slices` may be null.
  Graph(Context& ctx, Tape* tape, const SliceMap<T>* slices, const BackwardRules& rules = {})
      : ctx_(ctx), tape_(tape), slices_(slices), rules_(rules) {}

  Tape* tape() const { return tape_; }
  // What `make` gives while it records on another tape; null: it records nothing.
  template <class Make>
  auto with_tape(Tape* tape, const Make& make) {
    Tape* const outer = std::exchange(tape_, tape);
    const auto restore = std::shared_ptr<void>(nullptr, [&](void*) { tape_ = outer; });
    return make();
  }
  // Whether a trainer has a slice in this layer.
  bool selects(int64_t layer) const;
  Context& context() const { return ctx_; }
  const BackwardRules& rules() const { return rules_; }

  Var<T> constant(Tensor<T> value) const { return {std::move(value), nullptr}; }
  // x itself, or without its gradient.
  Var<T> constant_if(bool constant, Var<T> x) const {
    if (constant) x.grad = nullptr;
    return x;
  }

  // factor W[ids[m]]
  Var<T> embed(const Parameter<T>& w, const std::vector<int32_t>& ids, T factor);
  Var<T> add(const Var<T>& a, const Var<T>& b);
  // loss[r] = cross entropy of softmax(x W^T + bias) with targets[r]. Its gradient, times
  // weights[r], goes to x, W and bias at once: so no more than kLossRows rows of logits ever exist.
  static constexpr int64_t kLossRows = 256;
  void cross_entropy(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias,
                     const int32_t* targets, const T* weights, T* loss);
  // x W^T + bias, and what the weight's low-rank factors add; `bias` may be null
  Var<T> linear(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias);
  // (m, heads * k) -> (m, n): block h of the result is that of block h of x
  Var<T> linear_of_heads(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias,
                         int64_t heads);
  // Constants of a norm (ops/norm.h).
  struct NormKind {
    T eps, offset;
    bool centre;
  };
  Var<T> norm(const Var<T>& x, const Parameter<T>& gain, const Parameter<T>* bias,
              const NormKind& kind);
  // The three steps of a norm; `mean` is kept beside the scale.
  struct Scale {
    Tensor<T> mean;
    Var<T> scale;
  };
  Scale norm_scale(const Var<T>& x, const NormKind& kind);
  Var<T> norm_divide(const Var<T>& x, const Tensor<T>& mean, const Var<T>& scale,
                     const NormKind& kind);
  Var<T> norm_affine(const Var<T>& normalized, const Parameter<T>& gain, const Parameter<T>* bias,
                     const NormKind& kind);
  Var<T> rotary(const Var<T>& x, const std::vector<int32_t>& positions,
                const RotaryTables<T>& tables, int64_t heads, bool adjacent);
  // `linear` without value: not gated
  Var<T> activate(const Var<T>& x, const Var<T>& linear, ops::Activation kind);
  // cap tanh(x / cap); x itself where the cap is 0
  Var<T> soft_cap(const Var<T>& x, T cap);

  // Softmax of the `chosen` largest of every row, 0 for the others.
  Var<T> route(const Var<T>& logits, int64_t chosen);
  // What one expert of a mixture computed, for some rows of a batch.
  struct Expert {
    int64_t index;
    std::vector<int32_t> rows;
    Var<T> y;
  };
  // The `chosen` largest of every row, in descending order (ties: the lowest index first).
  Var<T> choices(const Var<T>& logits, int64_t chosen);
  // (rows, count * width): the block of an expert holds its rows, and 0 elsewhere
  Var<T> spread_experts(const std::vector<Expert>& experts, int64_t rows, int64_t count,
                        int64_t width);
  // What spread_experts put there for one of them.
  Var<T> expert_rows(const Var<T>& x, const Expert& expert);
  // y[r] = sum over the experts that computed row r, in their order, of weights[r, expert] y_r
  Var<T> mix(const Var<T>& weights, const std::vector<Expert>& experts, int64_t width);

  struct Heads {
    const std::vector<ops::Segment<T>>& segments;
    int64_t heads, groups, width;
    T scale;
    T cap = 0;           // scores become cap tanh(score / cap); 0: they stay
    int64_t window = 0;  // keys that a query sees, itself included; 0: all
    bool bf16 = false;   // weights are, so that a GPU may multiply in it
  };
  Var<T> attention(const Var<T>& q, const Var<T>& k, const Var<T>& v, const Heads& a);
  // The same in three steps; scores and pattern are flat pattern buffers (1, size).
  Var<T> attention_scores(const Var<T>& q, const Var<T>& k, const Heads& a,
                          const std::vector<int64_t>& offsets, int64_t size);
  Var<T> attention_softmax(const Var<T>& scores, const Heads& a,
                           const std::vector<int64_t>& offsets);
  Var<T> attention_mix(const Var<T>& pattern, const Var<T>& v, const Heads& a,
                       const std::vector<int64_t>& offsets);

  // y[r] = x[rows[r]]
  Var<T> gather_rows(const Var<T>& x, const std::vector<int32_t>& rows);
  // (m, d) -> (m, heads * d): one copy a head
  Var<T> repeat(const Var<T>& x, int64_t heads);
  // (m, heads * d) -> (m, d): the sum over heads
  Var<T> sum_heads(const Var<T>& x, int64_t heads);
  // (m, heads * e) -> (m * heads, heads * e): row (m, h) keeps block h, the rest is 0
  Var<T> spread_heads(const Var<T>& x, int64_t heads);
  // (m * heads, heads * e) -> (m, heads * e): block h of row (m, h)
  Var<T> collect_heads(const Var<T>& x, int64_t heads);
  Var<T> reshape(const Var<T>& x, int64_t rows, int64_t cols);
  // x + bias in every row; `bias` may be null
  Var<T> add_bias(Var<T> x, const Parameter<T>* bias);
  // A value of its own, for a hook that only some of x's readers see.
  Var<T> alias(const Var<T>& x);

 private:
  using Slices = std::vector<GradientSlice<T>>;
  const Slices* slices_of(const Parameter<T>* p) const;
  Var<T> dense(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias);
  // y + factor u, in y's memory
  Var<T> add_factor(const Var<T>& y, const Var<T>& u, T factor);
  // A value that has a gradient if any of the conditions holds.
  Var<T> result(Tensor<T> value, bool wants_gradient) const;
  // Adds a dense gradient vector to the selected parts of a one-column weight.
  void add_vector(const Slices& slices, const T* gradient) const;
  void bias_backward(const Slices* slices, Mat<const T> dy);
  void weight_backward(const Slices* slices, Mat<const T> dy, Mat<const T> x);
  // One of the linear maps that move heads around, and its transpose.
  using Move = Tensor<T> (*)(Context& ctx, Mat<const T> x, int64_t heads);
  Var<T> moved(const Var<T>& x, int64_t heads, Move forward, Move backward);

  Context& ctx_;
  Tape* tape_;
  const SliceMap<T>* slices_;
  BackwardRules rules_;
};

extern template class Graph<float>;
extern template class Graph<double>;

// Adds `from` to the gradient of x, which must be wanted.
template <class T>
void contribute(Context& ctx, const Var<T>& x, Mat<const T> from);

}  // namespace keyheads
