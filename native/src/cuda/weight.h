// Weights as a device has them: row-major (n, k), of floats or bfloat16.
#pragma once
#include "base/view.h"

namespace keyheads::cuda {

struct Bf16 {
  uint16_t bits;
};
KEYHEADS_INLINE float load(const float& x) { return x; }
KEYHEADS_INLINE float load(const Bf16& x) { return Bf16Pair::widen(uint32_t{x.bits} << 16); }
KEYHEADS_INLINE void store(float& to, float x) { to = x; }
KEYHEADS_INLINE void store(Bf16& to, float x) { to.bits = static_cast<uint16_t>(round_to_bf16(x)); }

// f(matrix) with that of the floats or of the bfloat16
template <class F>
void visit_matrix(const Weight<float>& w, const F& f) {
  if (w.storage == Storage::bf16) return f(Mat<Bf16>{static_cast<Bf16*>(w.data), w.n, w.k, w.k});
  f(Mat<float>{static_cast<float*>(w.data), w.n, w.k, w.k});
}

}  // namespace keyheads::cuda
