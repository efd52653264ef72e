// A leaf header (see base/view.h).
#pragma once
#include "base/view.h"

namespace keyheads::ops {
namespace {

// a * b + c: fused (rounded once) wherever Simd::fma is, and on a GPU.
template <class T>
KEYHEADS_INLINE T mul_add(T a, T b, T c) {
#if defined(__FMA__) || defined(__aarch64__) || defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 4) return __builtin_fmaf(a, b, c);
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

}  // namespace
}  // namespace keyheads::ops
