// AVX2 and FMA. Included by simd.h only.
#pragma once

namespace keyheads::ops {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  using V = __m256;
  static constexpr int64_t kWidth = 8;
  static constexpr int kRegisters = 16;
  KEYHEADS_INLINE static V zero() { return _mm256_setzero_ps(); }
  KEYHEADS_INLINE static V set(float x) { return _mm256_set1_ps(x); }
  KEYHEADS_INLINE static V load(const float* p) { return _mm256_loadu_ps(p); }
  // the first and the second numbers of kWidth pairs
  KEYHEADS_INLINE static V load_firsts(const Bf16Pair* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(load_bits(p), 16));
  }
  KEYHEADS_INLINE static V load_seconds(const Bf16Pair* p) {
    return _mm256_castsi256_ps(_mm256_and_si256(load_bits(p), _mm256_set1_epi32(-65536)));
  }
  KEYHEADS_INLINE static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  // the first n < kWidth elements; zeros after them
  KEYHEADS_INLINE static V load_first(const float* p, int64_t n) {
    return _mm256_maskload_ps(p, first(n));
  }
  KEYHEADS_INLINE static void store_first(float* p, V v, int64_t n) {
    _mm256_maskstore_ps(p, first(n), v);
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  KEYHEADS_INLINE static V max(V a, V b) { return _mm256_max_ps(a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V min(V a, V b) { return _mm256_min_ps(a, b); }
  // lane i with lane i + half, down to one
  KEYHEADS_INLINE static float sum(V v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
  }
  KEYHEADS_INLINE static float max(V v) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
  }

 private:
  KEYHEADS_INLINE static __m256i load_bits(const Bf16Pair* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  KEYHEADS_INLINE static __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

template <>
struct Simd<double> {
  using V = __m256d;
  static constexpr int64_t kWidth = 4;
  static constexpr int kRegisters = 16;
  KEYHEADS_INLINE static V zero() { return _mm256_setzero_pd(); }
  KEYHEADS_INLINE static V set(double x) { return _mm256_set1_pd(x); }
  KEYHEADS_INLINE static V load(const double* p) { return _mm256_loadu_pd(p); }
  KEYHEADS_INLINE static V load(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
  KEYHEADS_INLINE static void store(double* p, V v) { _mm256_storeu_pd(p, v); }
  KEYHEADS_INLINE static V load_first(const double* p, int64_t n) {
    return _mm256_maskload_pd(p, first(n));
  }
  KEYHEADS_INLINE static void store_first(double* p, V v, int64_t n) {
    _mm256_maskstore_pd(p, first(n), v);
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  KEYHEADS_INLINE static V max(V a, V b) { return _mm256_max_pd(a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V min(V a, V b) { return _mm256_min_pd(a, b); }
  KEYHEADS_INLINE static double sum(V v) {
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
  }
  KEYHEADS_INLINE static double max(V v) {
    const __m128d x = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(x, _mm_unpackhi_pd(x, x)));
  }

 private:
  KEYHEADS_INLINE static __m256i first(int64_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
};

}  // namespace
}  // namespace keyheads::ops
