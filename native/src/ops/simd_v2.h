// SSE4.2, without fused multiply-add. Included by simd.h only.
#pragma once

namespace keyheads::ops {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  using V = __m128;
  static constexpr int64_t kWidth = 4;
  static constexpr int kRegisters = 16;
  KEYHEADS_INLINE static V zero() { return _mm_setzero_ps(); }
  KEYHEADS_INLINE static V set(float x) { return _mm_set1_ps(x); }
  KEYHEADS_INLINE static V load(const float* p) { return _mm_loadu_ps(p); }
  // the first and the second numbers of kWidth pairs
  KEYHEADS_INLINE static V load_firsts(const Bf16Pair* p) {
    return _mm_castsi128_ps(_mm_slli_epi32(load_bits(p), 16));
  }
  KEYHEADS_INLINE static V load_seconds(const Bf16Pair* p) {
    return _mm_castsi128_ps(_mm_and_si128(load_bits(p), _mm_set1_epi32(-65536)));
  }
  KEYHEADS_INLINE static void store(float* p, V v) { _mm_storeu_ps(p, v); }
  // the first n < kWidth elements; zeros after them
  KEYHEADS_INLINE static V load_first(const float* p, int64_t n) {
    V v = zero();
    __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(float));
    return v;
  }
  KEYHEADS_INLINE static void store_first(float* p, V v, int64_t n) {
    __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
  KEYHEADS_INLINE static V max(V a, V b) { return _mm_max_ps(a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V min(V a, V b) { return _mm_min_ps(a, b); }
  // lane i with lane i + half, down to one
  KEYHEADS_INLINE static float sum(V v) {
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
  }
  KEYHEADS_INLINE static float max(V v) {
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
  }

 private:
  KEYHEADS_INLINE static __m128i load_bits(const Bf16Pair* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
};

template <>
struct Simd<double> {
  using V = __m128d;
  static constexpr int64_t kWidth = 2;
  static constexpr int kRegisters = 16;
  KEYHEADS_INLINE static V zero() { return _mm_setzero_pd(); }
  KEYHEADS_INLINE static V set(double x) { return _mm_set1_pd(x); }
  KEYHEADS_INLINE static V load(const double* p) { return _mm_loadu_pd(p); }
  KEYHEADS_INLINE static V load(const float* p) {
    return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  KEYHEADS_INLINE static void store(double* p, V v) { _mm_storeu_pd(p, v); }
  KEYHEADS_INLINE static V load_first(const double* p, int64_t n) {
    return n == 0 ? zero() : _mm_load_sd(p);
  }
  KEYHEADS_INLINE static void store_first(double* p, V v, int64_t n) {
    if (n != 0) _mm_store_sd(p, v);
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }
  KEYHEADS_INLINE static V max(V a, V b) { return _mm_max_pd(a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V min(V a, V b) { return _mm_min_pd(a, b); }
  KEYHEADS_INLINE static double sum(V v) {
    return _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)));
  }
  KEYHEADS_INLINE static double max(V v) {
    return _mm_cvtsd_f64(_mm_max_sd(v, _mm_unpackhi_pd(v, v)));
  }
};

}  // namespace
}  // namespace keyheads::ops
