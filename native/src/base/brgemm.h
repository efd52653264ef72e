// libxsmm's just-in-time kernels for blocks of rows, where the build has libxsmm (BSD-3).
#pragma once
#include <cstdint>

#include "base/context.h"
#include "base/view.h"

namespace keyheads {

// y (rows, 64) = or += x (rows, depth) times one packed panel (depth, 64); strides in elements. Of
// pairs, `depth` counts pairs.
template <class E>
struct PanelProduct {
  float* y;
  int64_t y_stride;
  const E* x;
  int64_t x_stride;
  const E* panel;
  int64_t rows, depth;
  bool accumulate;
};

// Returns false, having done nothing, when there is no kernel. Every output is a chain over
// ascending depth, of fused multiply-adds or of the processor's sums of two products: a test
// demands the bits of the project's own kernels.
bool xsmm_panel_product(const PanelProduct<float>& product);
bool xsmm_panel_product(const PanelProduct<Bf16Pair>& product);

// What computes matrix products with this instruction set, for people.
const char* gemm_name(Isa isa);

}  // namespace keyheads
