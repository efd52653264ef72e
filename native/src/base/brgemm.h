// libxsmm's just-in-time kernels for blocks of rows, where the build has libxsmm (BSD-3).
#pragma once
#include <cstdint>

#include "base/context.h"

namespace keyheads {

// y (rows, 64) = or += x (rows, depth) times one packed panel (depth, 64); strides in elements.
struct PanelProduct {
  float* y;
  int64_t y_stride;
  const float* x;
  int64_t x_stride;
  const float* panel;
  int64_t rows, depth;
  bool accumulate;
};

// Returns false, having done nothing, when there is no kernel. Every output is a chain of fused
// multiply-adds over ascending depth: a test demands the bits of the project's own kernels.
bool xsmm_panel_product(const PanelProduct& product);

// What computes matrix products with this instruction set, for people.
const char* gemm_name(Isa isa);

}  // namespace keyheads
