// What enters the first block, of a decoder's batch or of rows of their own.
#pragma once
#include <vector>

#include "model/graph.h"
#include "model/model.h"
#include "model/tap.h"

namespace keyheads {

// Of tokens at these positions: embeddings, and learned positions where the model has them.
template <class T>
Var<T> embed_tokens(const Model<T>& model, Graph<T>& graph, Taps<T>& taps,
                    const std::vector<int32_t>& tokens, const std::vector<int32_t>& positions) {
  const Spec& spec = model.spec;
  const auto tap = [&](Hook hook, Var<T> x) {
    return kTaps ? taps.tap(graph.tape(), hook, -1, std::move(x)) : x;
  };
  const Var<T> x =
      tap(Hook::embed, graph.embed(*model.weights.embed, tokens, static_cast<T>(spec.embed_scale)));
  if (spec.rotary) return x;
  std::vector<int32_t> rows = positions;
  for (int32_t& row : rows) row += static_cast<int32_t>(spec.position_offset);
  return graph.add(x, tap(Hook::pos_embed, graph.embed(*model.weights.pos_embed, rows, T(1))));
}

}  // namespace keyheads
