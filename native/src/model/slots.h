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

  bool operator<(const SlotRef& other) const {
    return layer != other.layer ? layer < other.layer : slot < other.slot;
  }
  bool operator==(const SlotRef& other) const = default;
};

std::string describe(const SlotRef& ref);

struct SlotShape {
  std::string slot;
  int64_t rows, cols;  // (out, in); vectors have one column
  bool required;
};

std::vector<SlotShape> model_slots(const Spec& spec);
std::vector<SlotShape> layer_slots(const Spec& spec);

}  // namespace keyheads
