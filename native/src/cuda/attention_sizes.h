// Which tiles a call of attention gets.
#pragma once
#include <type_traits>

#include "cuda/attention_bf16.h"
#include "cuda/attention_f32.h"

namespace keyheads::ops {
namespace {

[[noreturn]] inline void refuse_width(int64_t width) {
  throw std::runtime_error("attention: heads are " + std::to_string(width) +
                           " wide; on a GPU at most 256");
}

// f(std::type_identity<T>()) with tiles T for heads of this width. In f32 they have no more lines
// than the longest segment fills, and than shared memory has room for with so many left sides.
template <int lefts, class F>
void visit_tiles(int64_t width, bool bf16, int64_t lines, const F& f) {
  if (width > 256) refuse_width(width);
  if (bf16) {
    if (width <= 64) return f(std::type_identity<TensorTiles<64>>());
    if (width <= 128) return f(std::type_identity<TensorTiles<128>>());
    return f(std::type_identity<TensorTiles<256>>());
  }
  if (width <= 64) {
    if (lines <= 16) return f(std::type_identity<FloatTiles<1, 64>>());
    if (lines <= 32) return f(std::type_identity<FloatTiles<2, 64>>());
    return f(std::type_identity<FloatTiles<4, 64>>());
  }
  if (width <= 128) {
    if (lines <= 16) return f(std::type_identity<FloatTiles<1, 128>>());
    if (lines <= 32) return f(std::type_identity<FloatTiles<2, 128>>());
    return f(std::type_identity<FloatTiles<lefts == 1 ? 4 : 2, 128>>());
  }
  if (lines <= 16) return f(std::type_identity<FloatTiles<1, 256>>());
  return f(std::type_identity<FloatTiles<lefts == 1 ? 2 : 1, 256>>());
}

}  // namespace
}  // namespace keyheads::ops
