// Which tiles a call of attention gets.
#pragma once
#include "cuda/attention_bf16.h"
#include "cuda/attention_f32.h"

namespace keyheads::ops {
namespace {

template <class T>
struct Is {};

[[noreturn]] inline void refuse_width(int64_t width) {
  throw std::runtime_error("attention: heads are " + std::to_string(width) +
                           " wide; on a GPU at most 256");
}

// f(Is<T>()) with tiles T for heads of this width. In f32 they have no more lines than the longest
// segment fills, and than shared memory has room for with so many left sides.
template <int lefts, class F>
void visit_tiles(int64_t width, bool bf16, int64_t lines, const F& f) {
  if (width > 256) refuse_width(width);
  if (bf16) {
    if (width <= 64) return f(Is<TensorTiles<64>>());
    if (width <= 128) return f(Is<TensorTiles<128>>());
    return f(Is<TensorTiles<256>>());
  }
  if (width <= 64) {
    if (lines <= 16) return f(Is<FloatTiles<1, 64>>());
    if (lines <= 32) return f(Is<FloatTiles<2, 64>>());
    return f(Is<FloatTiles<4, 64>>());
  }
  if (width <= 128) {
    if (lines <= 16) return f(Is<FloatTiles<1, 128>>());
    if (lines <= 32) return f(Is<FloatTiles<2, 128>>());
    return f(Is<FloatTiles<lefts == 1 ? 4 : 2, 128>>());
  }
  if (lines <= 16) return f(Is<FloatTiles<1, 256>>());
  return f(Is<FloatTiles<lefts == 1 ? 2 : 1, 256>>());
}

}  // namespace
}  // namespace keyheads::ops
