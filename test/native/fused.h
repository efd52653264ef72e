// a * b + c, rounded once. Not std::fma: that of MinGW's library is not exact, and where kernels
// are expected to round once the processor has the instruction.
#pragma once

namespace keyheads::test {

#ifdef __x86_64__
#define KEYHEADS_HAS_FMA __attribute__((target("fma")))
#else
#define KEYHEADS_HAS_FMA
#endif
KEYHEADS_HAS_FMA inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
KEYHEADS_HAS_FMA inline double fused(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
#undef KEYHEADS_HAS_FMA

}  // namespace keyheads::test
