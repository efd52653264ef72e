// The names of weights that cross the boundary (ModelSlot and LayerSlot of binding.ts).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace keyheads {

struct Spec;

struct SlotRef {
  std::string slot;
  int64_t layer = -1;
  int64_t expert = -1;

  bool operator<(const SlotRef& other) const {
    if (layer != other.layer) return layer < other.layer;
    return slot != other.slot ? slot < other.slot : expert < other.expert;
  }
  bool operator==(const SlotRef& other) const = default;
};

std::string describe(const SlotRef& ref);

struct SlotShape {
  std::string slot;
  int64_t rows, cols;  // (out, in); vectors have one column
  bool required;
  int64_t expert = -1;
};

// The slots of a specification: those that it demands and those, biases, that it allows.
std::vector<SlotShape> model_slots(const Spec& spec);
std::vector<SlotShape> layer_slots(const Spec& spec);

}  // namespace keyheads
