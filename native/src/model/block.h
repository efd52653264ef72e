// The equations of a transformer block on rows, with a tap wherever a hook point is born. They
// know nothing of sequences: the decoder puts them together over a batch, the sweep over rows of
// its own. They ask the spec, never a model's name.
#pragma once
#include <vector>

#include "model/graph.h"
#include "model/model.h"
#include "model/tap.h"

namespace keyheads {

template <class T>
class Block {
 public:
  Block(const Model<T>& model, Graph<T>& graph, Taps<T>& taps);

  // What attention and MLP read of the residual stream: its norm, or itself without norms before.
  Var<T> attention_in(int64_t layer, const Var<T>& x);
  Var<T> mlp_in(int64_t layer, const Var<T>& x);
  // Whether both are one norm of one input that no hook tells apart.
  bool share_norm(int64_t layer) const;

  struct Qkv {
    Var<T> q, k, v;
  };
  // Projections of attention_in(x).
  Qkv project(int64_t layer, const Var<T>& x, const Var<T>& in);
  // Likewise from x, every head reading a copy of its own, as some hooks want it.
  bool splits_inputs(int64_t layer) const;
  Qkv project_split(int64_t layer, const Var<T>& x);
  // As attention uses them: normed where the model has a q/k norm, and rotated.
  Var<T> placed_queries(int64_t layer, const Var<T>& q, const std::vector<int32_t>& positions);
  Var<T> placed_keys(int64_t layer, const Var<T>& k, const std::vector<int32_t>& positions);
  typename Graph<T>::Heads heads(int64_t layer, const std::vector<ops::Segment<T>>& segments) const;

  // Before and after the norm of what attention writes.
  Var<T> attention_raw(int64_t layer, const Var<T>& z);
  Var<T> attention_out(int64_t layer, Var<T> raw);
  // Likewise of the MLP, of what mlp_in gave.
  Var<T> mlp_raw(int64_t layer, const Var<T>& in);
  Var<T> mlp_out(int64_t layer, Var<T> raw);

  Var<T> final_norm(const Var<T>& x);

 private:
  struct Norm {
    const Parameter<T>*gain, *bias;
    Hook scale, normalized;
    int64_t layer;
  };
  struct PlacedHeads {
    Hook hook;
    const Parameter<T>* gain;
    int64_t count;
  };
  // Move x in where nothing else needs it: then an edit needs no copy.
  Var<T> tap(Hook hook, int64_t layer, Var<T> x) {
    return kTaps ? taps_.tap(graph_.tape(), hook, layer, std::move(x)) : x;
  }
  // A hook that only reads: `make` builds the tensor if somebody asked for it.
  template <class Make>
  void show(Hook hook, int64_t layer, const Make& make) {
    if (taps_.captured(hook, layer)) tap(hook, layer, make());
  }
  Var<T> norm(const Var<T>& x, const Norm& n);
  Var<T> mlp(int64_t layer, const MlpWeights<T>& w, const Var<T>& in);
  Var<T> mixture(int64_t layer, const Var<T>& in);
  using Expert = typename Graph<T>::Expert;
  bool looks_inside_experts(int64_t layer) const;
  void run_experts(int64_t layer, std::vector<Expert>& experts, int64_t rows);
  void tap_experts(Hook hook, int64_t layer, std::vector<Expert>& values, int64_t rows);
  Var<T> head_norm(const Var<T>& x, const Parameter<T>& gain, int64_t heads);
  const RotaryTables<T>& rotary_tables(const std::vector<int32_t>& positions);
  Var<T> placed(int64_t layer, Var<T> x, const PlacedHeads& heads,
                const std::vector<int32_t>& positions);

  const Model<T>& model_;
  const Spec& spec_;
  Graph<T>& graph_;
  Taps<T>& taps_;
  typename Graph<T>::NormKind norm_kind_;
  RotaryTables<T> tables_;
};

extern template class Block<float>;
extern template class Block<double>;

}  // namespace keyheads
