#include "base/brgemm.h"

#if WITH_LIBXSMM
#include <libxsmm.h>
#endif

namespace keyheads {

#if WITH_LIBXSMM

namespace {

constexpr libxsmm_blasint kColumns = 64;
constexpr float kOne = 1, kZero = 0;

libxsmm_blasint narrow(int64_t size) { return static_cast<libxsmm_blasint>(size); }

}  // namespace

// libxsmm counts in columns: to it the panel is the left matrix (64 x depth), x the right one. It
// finds a kernel that it has made before in its cache.
bool xsmm_panel_product(const PanelProduct<float>& p) {
  const libxsmm_blasint x_stride = narrow(p.x_stride), y_stride = narrow(p.y_stride);
  const libxsmm_smmfunction kernel =
      libxsmm_smmdispatch(kColumns, narrow(p.rows), narrow(p.depth), &kColumns, &x_stride,
                          &y_stride, &kOne, p.accumulate ? &kOne : &kZero, nullptr, nullptr);
  if (kernel == nullptr) return false;
  kernel(p.panel, p.x, p.y);
  return true;
}

bool xsmm_panel_product(const PanelProduct<Bf16Pair>& p) {
  const libxsmm_blasint x_stride = narrow(2 * p.x_stride), y_stride = narrow(p.y_stride);
  const int flags = LIBXSMM_GEMM_FLAG_VNNI_A;
  const libxsmm_bsmmfunction kernel =
      libxsmm_bsmmdispatch(kColumns, narrow(p.rows), narrow(2 * p.depth), &kColumns, &x_stride,
                           &y_stride, &kOne, p.accumulate ? &kOne : &kZero, &flags, nullptr);
  if (kernel == nullptr) return false;
  kernel(reinterpret_cast<const libxsmm_bfloat16*>(p.panel),
         reinterpret_cast<const libxsmm_bfloat16*>(p.x), p.y);
  return true;
}

#else

bool xsmm_panel_product(const PanelProduct<float>&) { return false; }
bool xsmm_panel_product(const PanelProduct<Bf16Pair>&) { return false; }

#endif

const char* gemm_name(Isa isa) {
  return WITH_LIBXSMM && isa >= Isa::v4 ? "libxsmm and own kernels" : "own kernels";
}

}  // namespace keyheads
