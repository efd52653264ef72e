// Vectors of the instruction set that this file is compiled for: Simd<float>, Simd<double>.
// A leaf header (see base/view.h); everything is internal to the kernel that includes it.
#pragma once
#ifdef __aarch64__
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

#include <cstdint>

#include "ops/mul_add.h"

#if defined(__aarch64__)
#include "ops/simd_neon.h"
#elif defined(__AVX512F__)
#include "ops/simd_v4.h"
#elif defined(__AVX2__)
#include "ops/simd_v3.h"
#else
#include "ops/simd_v2.h"
#endif

namespace keyheads::ops {
namespace {

template <class T>
KEYHEADS_INLINE T* align_up(T* p) {
  return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(p) + 63) & ~uintptr_t{63});
}

}  // namespace
}  // namespace keyheads::ops
