// The decoder, as it is drawn in papers: blocks (model/block.h) over the sequences of one packed
// batch. One object is one run.
#pragma once
#include <vector>

#include "model/batch.h"
#include "model/block.h"
#include "model/kv_cache.h"

namespace keyheads {

template <class T>
class Decoder {
 public:
  // `cache` may be null; with it, item i of the batch continues sequence i.
  Decoder(const Model<T>& model, Graph<T>& graph, const Batch& batch, Taps<T>& taps,
          KvCache<T>* cache);

  Var<T> block(int64_t layer, Var<T> x) { return block(layer, std::move(x), nullptr); }
  // The final norm of the given rows of the last resid_post; of a range that stops, every row of
  // the stream that enters the layer it stops before. Appends to the cache.
  // With `recompute`, what blocks keep for the backward pass is computed again in it, block by
  // block; the bits are the same. Not together with hooks.
  Var<T> run(const std::vector<int32_t>& rows, const Range<T>& range = {}, bool recompute = false);
  // The same from the last resid_post.
  Var<T> final_norm(const Var<T>& x, const std::vector<int32_t>& rows);

 private:
  Var<T> tap(Hook hook, int64_t layer, Var<T> x, const PatternLayout* pattern = nullptr) {
    return kTaps ? taps_.tap(graph_.tape(), hook, layer, std::move(x), pattern) : x;
  }
  // With `only`, everything behind attention is computed for these rows alone.
  Var<T> block(int64_t layer, Var<T> x, const std::vector<int32_t>* only);
  Var<T> recomputed_block(int64_t layer, const Var<T>& x, const std::vector<int32_t>* only);
  void check_range(const Range<T>& range) const;
  Var<T> attention_z(int64_t layer, typename Block<T>::Qkv qkv);
  Var<T> attend(int64_t layer, const Var<T>& q, const Var<T>& k, const Var<T>& v);

  const Model<T>& model_;
  const Spec& spec_;
  Graph<T>& graph_;
  const Batch& batch_;
  Taps<T>& taps_;
  KvCache<T>* cache_;
  Block<T> block_;
  std::vector<int32_t> positions_;
  std::vector<ops::Segment<T>> segments_;
  PatternLayout pattern_;
};

extern template class Decoder<float>;
extern template class Decoder<double>;

}  // namespace keyheads
