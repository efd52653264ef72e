// Ragged sequences packed one after the other, and the places in them that a request names.
#pragma once
#include <cstdint>
#include <vector>

#include "schema/hooks.h"

namespace keyheads {

struct Batch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> offsets;  // items + 1

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
  int64_t items() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t length(int64_t item) const { return offsets[item + 1] - offsets[item]; }
};

// One place in the network (Site of binding.ts). Empty rows: all of them.
struct Site {
  Hook hook;
  int64_t layer = -1;
  int64_t head = -1;
  bool all_rows = true;
  std::vector<int32_t> rows;
};

enum class EditOp : uint8_t { zero, set, add, scale, mean, interpolate };

template <class T>
struct Edit {
  Site site;
  EditOp op;
  std::vector<T> value;
  T factor = 1;
};

}  // namespace keyheads
