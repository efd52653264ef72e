// The hook points of one run. Where a value is born the decoder calls `tap`; it applies the edits
// of that point in order, then copies the value out for the captures, and on the way back copies
// the gradient out. Every request is accounted for: one that never fired is an error. A point that
// nobody asked for costs one look into an empty table.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "model/batch.h"
#include "model/selection.h"
#include "model/spec.h"
#include "model/tape.h"

namespace keyheads {

// Where a pattern buffer keeps each item: [heads, n, keys[i]] at offsets[i].
struct PatternLayout {
  std::vector<int64_t> offsets;
  std::vector<int64_t> keys;
  int64_t size = 0;
};

// A build without taps ignores every request; what idle taps cost is measured against it.
#ifdef KEYHEADS_WITHOUT_TAPS
inline constexpr bool kTaps = false;
#else
inline constexpr bool kTaps = true;
#endif

int64_t head_count(const HookInfo& info, const Spec& spec);
// Numbers of one row and head; 0 for scores and patterns, whose rows differ in length.
int64_t width_of(const HookInfo& info, const Spec& spec);
// Throws BAD_ARGUMENT for a place that this model, or a batch of so many rows, does not have.
// `what` it is asked for leads the message.
void check_site(const Site& site, const Spec& spec, int64_t rows, const char* what);

template <class T>
class Taps {
 public:
  Taps(Context& ctx, const Spec& spec, const Batch& batch, const std::vector<Site>& captures,
       const std::vector<Edit<T>>& edits, const std::vector<Site>& gradients,
       const Range<T>& range = {}, const Directions<T>* directions = nullptr);

  bool captured(Hook hook, int64_t layer) const { return has(captures_at_, hook, layer); }
  // Edited, or its gradient wanted: the value that flows on must be a node of its own.
  bool changed(Hook hook, int64_t layer) const {
    return has(edits_at_, hook, layer) || has(gradients_at_, hook, layer);
  }
  bool wanted(Hook hook, int64_t layer) const {
    return captured(hook, layer) || changed(hook, layer);
  }

  // Whether anything behind the attention of this layer is asked for: then every row is needed.
  bool wanted_after_attention(int64_t layer) const;

  Var<T> tap(Tape* tape, Hook hook, int64_t layer, Var<T> x,
             const PatternLayout* pattern = nullptr);

  std::vector<Tensor<T>> captures;  // (1, size), in the order of the request
  // Likewise, filled by the backward pass; derivatives along directions are (items, heads * count).
  std::vector<Tensor<T>> gradients;

  // Throws if a request named a point that this run did not pass.
  void check_all_fired() const;

 private:
  using Key = std::pair<Hook, int64_t>;
  using Index = std::map<Key, std::vector<size_t>>;

  static bool has(const Index& index, Hook hook, int64_t layer) {
    return kTaps && index.contains({hook, layer});
  }
  void check_computed(const Site& site, const char* what, const Range<T>& range) const;
  Selection select(const Site& site, int64_t cols, const PatternLayout* pattern) const;
  Tensor<T> copy_out(const Site& site, const Tensor<T>& value, const PatternLayout* pattern) const;
  // Of a site: its rows, and the numbers of a row and head.
  int64_t rows_of(const Site& site) const;
  int64_t numbers_of(const Site& site) const;
  void check_directions(size_t i) const;
  // What is wanted of the gradient d at gradient site i.
  Tensor<T> gradient_out(size_t i, const Tensor<T>& d, const PatternLayout* pattern) const;
  // `in_place`: nobody else reads x, which may be overwritten.
  Var<T> edit(Tape* tape, const Edit<T>& edit, const Var<T>& x, const PatternLayout* pattern,
              bool in_place);
  Var<T> call(Tape* tape, const Edit<T>& edit, const Var<T>& x, const PatternLayout* pattern,
              bool in_place);

  Context& ctx_;
  const Spec& spec_;
  const Batch& batch_;
  const std::vector<Site>& capture_sites_;
  const std::vector<Edit<T>>& edits_;
  const std::vector<Site>& gradient_sites_;
  const Directions<T>* directions_;
  Index captures_at_, edits_at_, gradients_at_;
  std::map<Key, bool> fired_;
};

extern template class Taps<float>;
extern template class Taps<double>;

}  // namespace keyheads
