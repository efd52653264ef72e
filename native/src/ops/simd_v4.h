// AVX-512. Included by simd.h only.
#pragma once

namespace keyheads::ops {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  using V = __m512;
  static constexpr int64_t kWidth = 16;
  static constexpr int kRegisters = 32;
  KEYHEADS_INLINE static V zero() { return _mm512_setzero_ps(); }
  KEYHEADS_INLINE static V set(float x) { return _mm512_set1_ps(x); }
  KEYHEADS_INLINE static V load(const float* p) { return _mm512_loadu_ps(p); }
  // the first and the second numbers of kWidth pairs
  KEYHEADS_INLINE static V load_firsts(const Bf16Pair* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
  }
  KEYHEADS_INLINE static V load_seconds(const Bf16Pair* p) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(-65536)));
  }
  KEYHEADS_INLINE static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  // the first n < kWidth elements; zeros after them
  KEYHEADS_INLINE static V load_first(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  KEYHEADS_INLINE static void store_first(float* p, V v, int64_t n) {
    _mm512_mask_storeu_ps(p, first(n), v);
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  KEYHEADS_INLINE static V max(V a, V b) { return _mm512_max_ps(a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V min(V a, V b) { return _mm512_min_ps(a, b); }
  // lane i with lane i + half, down to one
  KEYHEADS_INLINE static float sum(V v) { return _mm512_reduce_add_ps(v); }
  KEYHEADS_INLINE static float max(V v) { return _mm512_reduce_max_ps(v); }

 private:
  KEYHEADS_INLINE static __mmask16 first(int64_t n) {
    return static_cast<__mmask16>((1u << n) - 1);
  }
};

template <>
struct Simd<double> {
  using V = __m512d;
  static constexpr int64_t kWidth = 8;
  static constexpr int kRegisters = 32;
  KEYHEADS_INLINE static V zero() { return _mm512_setzero_pd(); }
  KEYHEADS_INLINE static V set(double x) { return _mm512_set1_pd(x); }
  KEYHEADS_INLINE static V load(const double* p) { return _mm512_loadu_pd(p); }
  KEYHEADS_INLINE static V load(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
  KEYHEADS_INLINE static void store(double* p, V v) { _mm512_storeu_pd(p, v); }
  KEYHEADS_INLINE static V load_first(const double* p, int64_t n) {
    return _mm512_maskz_loadu_pd(first(n), p);
  }
  KEYHEADS_INLINE static void store_first(double* p, V v, int64_t n) {
    _mm512_mask_storeu_pd(p, first(n), v);
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  KEYHEADS_INLINE static V max(V a, V b) { return _mm512_max_pd(a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V min(V a, V b) { return _mm512_min_pd(a, b); }
  KEYHEADS_INLINE static double sum(V v) { return _mm512_reduce_add_pd(v); }
  KEYHEADS_INLINE static double max(V v) { return _mm512_reduce_max_pd(v); }

 private:
  KEYHEADS_INLINE static __mmask8 first(int64_t n) { return static_cast<__mmask8>((1u << n) - 1); }
};

#ifdef __AVX512BF16__
KEYHEADS_INLINE __m512bh load_pairs(const Bf16Pair* p) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
}
KEYHEADS_INLINE __m512bh set_pairs(Bf16Pair x) {
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(x.bits)));
}
#endif

}  // namespace
}  // namespace keyheads::ops
