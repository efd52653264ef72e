// A stretch of hook points of one layer (or of the embeddings, or the final norm) for the rows of
// some variants: their edits there, and what is captured.
#pragma once
#include <span>

#include "model/block.h"
#include "model/sweep_plan.h"

namespace keyheads {

// Rows of one item in one variant.
struct Piece {
  const VariantPlan* plan;
  const ItemRows* of;
  std::span<const int32_t> positions;

  int64_t variant() const { return plan->variant; }
  int64_t item() const { return of->item; }
};

// Pieces one after the other, as the rows of one matrix; pieces of a variant follow each other.
struct SweepRows {
  std::vector<Piece> pieces;
  std::vector<int32_t> offsets{0};
  std::vector<int32_t> positions;

  void add(const Piece& piece) {
    pieces.push_back(piece);
    positions.insert(positions.end(), piece.positions.begin(), piece.positions.end());
    offsets.push_back(static_cast<int32_t>(positions.size()));
  }
  int64_t count() const { return offsets.back(); }
};

struct HookRange {
  int64_t layer;
  Hook first, last;

  bool contains(const Site& site) const {
    return site.layer == layer && site.hook >= first && site.hook <= last;
  }
};

template <class T>
class SweepPhase {
 public:
  SweepPhase(const Model<T>& model, Graph<T>& graph, const SweepRequest<T>& request,
             const SweepPlanner<T>& planner, const SweepRows& rows, const HookRange& range);

  Var<T> tap(Hook hook, Var<T> x, const PatternLayout* pattern = nullptr) {
    return taps.tap(nullptr, hook, range_.layer, std::move(x), pattern);
  }
  int64_t layer() const { return range_.layer; }
  // Those of attn_in, q_input, k_input and v_input, which `block` knows of only where captures
  // there must see them.
  const std::vector<Edit<T>>& input_edits() const { return input_edits_; }
  // Puts what was captured where it belongs, on the host.
  void store(SweepResult<T>& result) const;

 private:
  struct Captured {
    size_t index;                                      // of the request
    std::vector<std::pair<int64_t, int64_t>> targets;  // variant, row of the selection
  };
  void add_edits(size_t first, size_t last);
  void add_edit(const SweepEdit<T>& edit, const Selected& where, size_t first, size_t last);
  void add_capture(size_t index);
  void store_rows(const Captured& captured, const Tensor<T>& from, SweepResult<T>& result) const;
  void store_patterns(const Captured& captured, const Tensor<T>& from,
                      SweepResult<T>& result) const;

  Context& ctx_;
  const SweepRequest<T>& request_;
  const SweepPlanner<T>& planner_;
  const SweepRows& rows_;
  HookRange range_;
  Batch batch_;
  std::vector<Site> sites_;
  const std::vector<Site> no_gradients_;
  std::vector<Edit<T>> edits_, input_edits_;
  std::vector<Captured> captured_;

 public:
  Taps<T> taps;
  Block<T> block;
};

extern template class SweepPhase<float>;
extern template class SweepPhase<double>;

}  // namespace keyheads
