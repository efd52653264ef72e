// The decoder, as it is drawn in papers, with a tap wherever a hook point is born. One object is
// one run over one packed batch. It asks the spec, never a model's name.
#pragma once
#include <vector>

#include "model/batch.h"
#include "model/graph.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "model/tap.h"

namespace keyheads {

template <class T>
class Decoder {
 public:
  // `cache` may be null; with it, item i of the batch continues sequence i.
  Decoder(const Model<T>& model, Graph<T>& graph, const Batch& batch, Taps<T>& taps,
          KvCache<T>* cache);

  Var<T> embed();
  Var<T> block(int64_t layer, Var<T> x) { return block(layer, std::move(x), nullptr); }
  // The final norm of the given rows of the last resid_post. Appends to the cache.
  Var<T> run(const std::vector<int32_t>& rows);
  // The same from the last resid_post.
  Var<T> final_norm(const Var<T>& x, const std::vector<int32_t>& rows);

 private:
  struct Qkv {
    Var<T> q, k, v;
  };
  struct NormWeights {
    const Parameter<T>& gain;
    const Parameter<T>* bias;
    Hook scale, normalized;
    int64_t layer;
  };
  Var<T> tap(Hook hook, int64_t layer, Var<T> x, const PatternLayout* pattern = nullptr) {
    return taps_.tap(graph_.tape(), hook, layer, std::move(x), pattern);
  }
  // A hook that only reads: `make` builds the tensor if somebody asked for it.
  template <class Make>
  void show(Hook hook, int64_t layer, const Make& make) {
    if (taps_.captured(hook, layer)) tap(hook, layer, make());
  }
  Var<T> norm(const Var<T>& x, const NormWeights& w);
  Qkv project(int64_t layer, const Var<T>& x);
  Qkv project_split(int64_t layer, const Var<T>& x);
  Var<T> attend(int64_t layer, const Var<T>& q, const Var<T>& k, const Var<T>& v);
  // With `only`, everything behind attention is computed for these rows alone.
  Var<T> block(int64_t layer, Var<T> x, const std::vector<int32_t>* only);
  Var<T> final_norm_of(const Var<T>& rows);
  Var<T> attention_z(int64_t layer, const Var<T>& x);
  Var<T> attention_out(int64_t layer, const Var<T>& z);
  Var<T> mlp_block(int64_t layer, const Var<T>& x);

  const Model<T>& model_;
  const Spec& spec_;
  Graph<T>& graph_;
  const Batch& batch_;
  Taps<T>& taps_;
  KvCache<T>* cache_;
  std::vector<int32_t> positions_;
  std::vector<ops::Segment<T>> segments_;
  PatternLayout pattern_;
};

extern template class Decoder<float>;
extern template class Decoder<double>;

}  // namespace keyheads
