// Which rows of which items a variant changes, from which layer on, and how far it must be
// computed.
#pragma once
#include "model/sweep.h"
#include "model/sweep_selection.h"

namespace keyheads {

// Positions of one item that are computed in a variant, ascending.
struct ItemRows {
  int64_t item;
  std::vector<int32_t> positions;
  std::vector<int32_t> read;  // those that are read behind the last layer's attention
};

struct VariantPlan {
  int64_t variant;
  int64_t first_layer;  // the model's number of layers: only the final norm changes
  bool embeds;          // changes embeddings, of layer 0
  std::vector<ItemRows> items;
  int64_t rows;
};

template <class T>
class SweepPlanner {
 public:
  // Throws BAD_ARGUMENT for requests that do not fit together, or ask for what is frozen.
  SweepPlanner(const Spec& spec, const SweepRequest<T>& request);

  const Selected& edited(int64_t edit) const { return edited_[edit]; }
  const Selected& captured(int64_t capture) const { return captured_[capture]; }
  // Variants by their first layer, and those that change nothing that is read.
  const std::vector<int64_t>& order() const { return order_; }
  const std::vector<int64_t>& unchanged() const { return unchanged_; }
  VariantPlan plan(int64_t variant, int64_t first_item, int64_t last_item) const;

  // The last layer that something is read of; the number of layers: the final norm, or logits.
  int64_t last_layer() const { return last_layer_; }
  // Of that layer, only what attention reads.
  bool inputs_only() const { return inputs_only_; }
  bool reads_logits() const;
  // Whether some variant has an edit, or a capture is asked for, at these hooks of a layer.
  bool edits_in(int64_t layer, Hook first, Hook last) const;
  bool captures_in(int64_t layer, Hook first, Hook last) const;
  // Whether all items must be computed together (mean over selected rows).
  bool couples_items() const;
  // Whether no row but the last of every item can be computed.
  bool ends_only() const { return ends_only_; }

 private:
  void check() const;
  void check_values(const SweepEdit<T>& edit, const Selected& where) const;
  void check_frozen(const Site& site, bool edit) const;
  int64_t first_layer(int64_t variant) const;
  std::vector<int32_t> changed(const std::vector<int32_t>& edits, int64_t item) const;
  bool read_at(int64_t item, int32_t position, bool at_the_end) const;

  const Spec& spec_;
  const SweepRequest<T>& request_;
  std::vector<Selected> edited_, captured_;
  std::vector<int64_t> order_, unchanged_;
  int64_t last_layer_ = 0;
  bool inputs_only_ = true, ends_only_ = false;
};

extern template class SweepPlanner<float>;
extern template class SweepPlanner<double>;

}  // namespace keyheads
