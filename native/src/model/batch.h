// Ragged sequences packed one after the other, and the places in them that a request names.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/tensor.h"
#include "schema/hooks.h"

namespace keyheads {

struct Batch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> offsets;  // items + 1

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
  int64_t items() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t length(int64_t item) const { return offsets[item + 1] - offsets[item]; }
};

// One place in the network (Site of binding.ts). Empty heads or columns: all of them.
struct Site {
  Hook hook;
  int64_t layer = -1;
  std::vector<int32_t> heads;
  std::vector<int32_t> columns;
  bool all_rows = true;
  std::vector<int32_t> rows;
};

enum class EditOp : uint8_t { zero, set, add, scale, mean, interpolate, call };

// What a function made of the values it was shown: changed some in place, or replaced all of them.
enum class CallResult : uint8_t { edited, replaced };
// Which entries hand their gradient on to what was there before: those that kept their bits, or all
// (the function added something that does not depend on them).
enum class CallGradient : uint8_t { unchanged, pass };

template <class T>
struct Edit {
  Site site;
  EditOp op;
  std::vector<T> value;
  T factor = 1;
  // With op call: sees the selection, row after row, on the host, and may write to it. Runs while
  // the engine thread waits.
  std::function<CallResult(Context&, const Tensor<T>&)> call;
  CallGradient gradient = CallGradient::unchanged;
};

// Directions in which derivatives are wanted instead of whole gradients (Directions of binding.ts).
template <class T>
struct Directions {
  Tensor<T> values;  // [count, rows of the site, numbers of a row and head]
  int64_t count = 0;
  // Of each gradient site, [first, last) of them; absent: its gradient is wanted.
  std::vector<std::optional<std::pair<int64_t, int64_t>>> along;
};

// Which layers are computed: [first, last), where last < 0 is all, and then the logits.
template <class T>
struct Range {
  int64_t first = 0;
  int64_t last = -1;
  Tensor<T> residual;  // enters `first` in place of the embeddings; (rows, d_model)

  bool starts() const { return static_cast<bool>(residual); }
  bool stops() const { return last >= 0; }
};

}  // namespace keyheads
