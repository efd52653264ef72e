// The AVX-512 instructions that kernels use, in plain C++, for processors without them: every lane
// computes what the instruction's description says. Include it before the kernel.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace keyheads::test::emulated {

template <class V, class F>
inline V each(int lanes, const F& f) {
  V out;
  for (int i = 0; i < lanes; ++i) out[i] = f(i);
  return out;
}
template <class V, class T>
inline V load(const T* p) {
  V out;
  std::memcpy(&out, p, sizeof out);
  return out;
}

using F = __m512;
using D = __m512d;
inline F zero_ps() { return F{}; }
inline D zero_pd() { return D{}; }
inline F set_ps(float x) {
  return each<F>(16, [&](int) { return x; });
}
inline D set_pd(double x) {
  return each<D>(8, [&](int) { return x; });
}
inline F load_ps(const float* p) { return load<F>(p); }
inline D load_pd(const double* p) { return load<D>(p); }
inline void store_ps(float* p, F v) { std::memcpy(p, &v, sizeof v); }
inline void store_pd(double* p, D v) { std::memcpy(p, &v, sizeof v); }
inline F load_some_ps(__mmask16 mask, const float* p) {
  return each<F>(16, [&](int i) { return mask >> i & 1 ? p[i] : 0.f; });
}
inline D load_some_pd(__mmask8 mask, const double* p) {
  return each<D>(8, [&](int i) { return mask >> i & 1 ? p[i] : 0.0; });
}
inline void store_some_ps(float* p, __mmask16 mask, F v) {
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) p[i] = v[i];
  }
}
inline void store_some_pd(double* p, __mmask8 mask, D v) {
  for (int i = 0; i < 8; ++i) {
    if (mask >> i & 1) p[i] = v[i];
  }
}
inline F fma_ps(F a, F b, F c) {
  return each<F>(16, [&](int i) { return __builtin_fmaf(a[i], b[i], c[i]); });
}
inline D fma_pd(D a, D b, D c) {
  return each<D>(8, [&](int i) { return __builtin_fma(a[i], b[i], c[i]); });
}
inline F max_ps(F a, F b) {
  return each<F>(16, [&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
}
inline D max_pd(D a, D b) {
  return each<D>(8, [&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
}
// lane i with lane i + half, down to one
template <class T, class V, class Join>
inline T reduce(V v, int lanes, const Join& join) {
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) v[i] = join(v[i], v[i + half]);
  }
  return v[0];
}
template <class T>
inline T sum_of(T a, T b) {
  return a + b;
}
template <class T>
inline T larger_of(T a, T b) {
  return a > b ? a : b;
}
inline D widen_pd(__m256 v) {
  return each<D>(8, [&](int i) { return static_cast<double>(v[i]); });
}
using Words = int __attribute__((vector_size(64)));
inline __m512i shift_left(__m512i v, unsigned by) {
  return reinterpret_cast<__m512i>(reinterpret_cast<Words>(v) << static_cast<int>(by));
}
inline __m512i set_words(int x) {
  return reinterpret_cast<__m512i>(each<Words>(16, [&](int) { return x; }));
}
inline float upper(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
// Per lane: the products of second, then of first numbers, each added with one rounding.
template <class V, class Pairs>
inline V add_products(V sum, Pairs a, Pairs b, int lanes) {
  uint32_t x[16], y[16];
  std::memcpy(x, &a, sizeof a);
  std::memcpy(y, &b, sizeof b);
  for (int i = 0; i < lanes; ++i) {
    const float second =
        __builtin_fmaf(upper(x[i] & 0xffff0000u), upper(y[i] & 0xffff0000u), sum[i]);
    sum[i] = __builtin_fmaf(upper(x[i] << 16), upper(y[i] << 16), second);
  }
  return sum;
}

}  // namespace keyheads::test::emulated

#define __AVX512F__ 1
#define __AVX512BF16__ 1
#define EMULATED ::keyheads::test::emulated
#define _mm512_setzero_ps EMULATED::zero_ps
#define _mm512_setzero_pd EMULATED::zero_pd
#define _mm512_set1_ps EMULATED::set_ps
#define _mm512_set1_pd EMULATED::set_pd
#define _mm512_loadu_ps EMULATED::load_ps
#define _mm512_loadu_pd EMULATED::load_pd
#define _mm512_storeu_ps EMULATED::store_ps
#define _mm512_storeu_pd EMULATED::store_pd
#define _mm512_maskz_loadu_ps EMULATED::load_some_ps
#define _mm512_maskz_loadu_pd EMULATED::load_some_pd
#define _mm512_mask_storeu_ps EMULATED::store_some_ps
#define _mm512_mask_storeu_pd EMULATED::store_some_pd
#define _mm512_fmadd_ps EMULATED::fma_ps
#define _mm512_fmadd_pd EMULATED::fma_pd
#define _mm512_max_ps EMULATED::max_ps
#define _mm512_max_pd EMULATED::max_pd
#define _mm512_reduce_add_ps(v) EMULATED::reduce<float>(v, 16, EMULATED::sum_of<float>)
#define _mm512_reduce_add_pd(v) EMULATED::reduce<double>(v, 8, EMULATED::sum_of<double>)
#define _mm512_reduce_max_ps(v) EMULATED::reduce<float>(v, 16, EMULATED::larger_of<float>)
#define _mm512_reduce_max_pd(v) EMULATED::reduce<double>(v, 8, EMULATED::larger_of<double>)
#define _mm512_cvtps_pd EMULATED::widen_pd
#define _mm512_loadu_si512(p) EMULATED::load<__m512i>(p)
#define _mm512_castsi512_ps(v) reinterpret_cast<__m512>(v)
#define _mm512_slli_epi32 EMULATED::shift_left
#define _mm512_and_si512(a, b) ((a) & (b))
#define _mm512_set1_epi32 EMULATED::set_words
#define _mm512_dpbf16_ps(sum, a, b) EMULATED::add_products(sum, a, b, 16)
#define _mm_dpbf16_ps(sum, a, b) EMULATED::add_products(sum, a, b, 4)
