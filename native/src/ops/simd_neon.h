// NEON of 64-bit Arm, with fused multiply-add. Included by simd.h only.
#pragma once

namespace keyheads::ops {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  using V = float32x4_t;
  static constexpr int64_t kWidth = 4;
  static constexpr int kRegisters = 32;
  KEYHEADS_INLINE static V zero() { return vdupq_n_f32(0); }
  KEYHEADS_INLINE static V set(float x) { return vdupq_n_f32(x); }
  KEYHEADS_INLINE static V load(const float* p) { return vld1q_f32(p); }
  // the first and the second numbers of kWidth pairs
  KEYHEADS_INLINE static V load_firsts(const Bf16Pair* p) {
    return vreinterpretq_f32_u32(vshlq_n_u32(load_bits(p), 16));
  }
  KEYHEADS_INLINE static V load_seconds(const Bf16Pair* p) {
    return vreinterpretq_f32_u32(vandq_u32(load_bits(p), vdupq_n_u32(0xffff0000u)));
  }
  KEYHEADS_INLINE static void store(float* p, V v) { vst1q_f32(p, v); }
  // the first n < kWidth elements; zeros after them
  KEYHEADS_INLINE static V load_first(const float* p, int64_t n) {
    V v = zero();
    __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(float));
    return v;
  }
  KEYHEADS_INLINE static void store_first(float* p, V v, int64_t n) {
    __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V max(V a, V b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  KEYHEADS_INLINE static V min(V a, V b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  // lane i with lane i + half, down to one
  KEYHEADS_INLINE static float sum(V v) {
    const float32x2_t half = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(half, 0) + vget_lane_f32(half, 1);
  }
  KEYHEADS_INLINE static float max(V v) {
    v = max(v, vextq_f32(v, v, 2));
    return vgetq_lane_f32(max(v, vextq_f32(v, v, 1)), 0);
  }

 private:
  KEYHEADS_INLINE static uint32x4_t load_bits(const Bf16Pair* p) {
    uint32x4_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return bits;
  }
};

template <>
struct Simd<double> {
  using V = float64x2_t;
  static constexpr int64_t kWidth = 2;
  static constexpr int kRegisters = 32;
  KEYHEADS_INLINE static V zero() { return vdupq_n_f64(0); }
  KEYHEADS_INLINE static V set(double x) { return vdupq_n_f64(x); }
  KEYHEADS_INLINE static V load(const double* p) { return vld1q_f64(p); }
  KEYHEADS_INLINE static V load(const float* p) { return vcvt_f64_f32(vld1_f32(p)); }
  KEYHEADS_INLINE static void store(double* p, V v) { vst1q_f64(p, v); }
  KEYHEADS_INLINE static V load_first(const double* p, int64_t n) {
    return n == 0 ? zero() : vcombine_f64(vld1_f64(p), vdup_n_f64(0));
  }
  KEYHEADS_INLINE static void store_first(double* p, V v, int64_t n) {
    if (n != 0) vst1_f64(p, vget_low_f64(v));
  }
  KEYHEADS_INLINE static V fma(V a, V b, V c) { return vfmaq_f64(c, a, b); }
  // b where either is NaN
  KEYHEADS_INLINE static V max(V a, V b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
  KEYHEADS_INLINE static V min(V a, V b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
  KEYHEADS_INLINE static double sum(V v) { return vgetq_lane_f64(v, 0) + vgetq_lane_f64(v, 1); }
  KEYHEADS_INLINE static double max(V v) { return vgetq_lane_f64(max(v, vextq_f64(v, v, 1)), 0); }
};

}  // namespace
}  // namespace keyheads::ops
