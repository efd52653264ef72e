#include "base/brgemm.h"

#if WITH_LIBXSMM
#include <libxsmm.h>
#endif

namespace keyheads {

#if WITH_LIBXSMM

// libxsmm counts in columns: to it the panel is the left matrix (64 x depth), x the right one.
bool xsmm_panel_product(const PanelProduct& p) {
  constexpr libxsmm_blasint kColumns = 64;
  const auto x_stride = static_cast<libxsmm_blasint>(p.x_stride);
  const auto y_stride = static_cast<libxsmm_blasint>(p.y_stride);
  const float alpha = 1, beta = p.accumulate ? 1 : 0;
  const libxsmm_smmfunction kernel = libxsmm_smmdispatch(
      kColumns, static_cast<libxsmm_blasint>(p.rows), static_cast<libxsmm_blasint>(p.depth),
      &kColumns, &x_stride, &y_stride, &alpha, &beta, nullptr, nullptr);  // found in its cache
  if (kernel == nullptr) return false;
  kernel(p.panel, p.x, p.y);
  return true;
}

#else

bool xsmm_panel_product(const PanelProduct&) { return false; }

#endif

const char* gemm_name(Isa isa) {
  return WITH_LIBXSMM && isa >= Isa::v4 ? "libxsmm and own kernels" : "own kernels";
}

}  // namespace keyheads
