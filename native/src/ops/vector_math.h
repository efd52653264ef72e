// exp, tanh and the activations as plain expressions of one element, in a form that the compiler
// turns into vector code: no calls and no branches for float. Double is the slow twin and calls
// libm. Relative errors: exp 1.2e-7, tanh 2e-7, activations 3e-7, up to 1e-5 where they are below
// 1e-15. A leaf header.
#pragma once
#include <cstdint>

#include "ops/activation.h"
#include "ops/mul_add.h"

namespace keyheads::ops {
namespace {

// exp(x) for -87.3 <= x <= 88:  x = n ln 2 + r,  exp(x) = 2^n exp(r)
KEYHEADS_INLINE float bounded_exp(float x) {
  constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it leaves n in the lowest bits
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = mul_add(n, 2.12194440e-4f, mul_add(n, -0.693359375f, x));
  float p = 1.38145988e-3f;
  p = mul_add(p, r, 8.36871658e-3f);
  p = mul_add(p, r, 4.16683890e-2f);
  p = mul_add(p, r, 0.166665211f);
  p = mul_add(p, r, 0.49999994f);
  p = mul_add(p * r, r, r) + 1.0f;
  uint32_t bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (127u << 23);
  float power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return p * power;
}
KEYHEADS_INLINE double bounded_exp(double x) { return __builtin_exp(x); }

// exp(x) for x <= 88, -infinity included. Zero below -87.3, where float has no normal numbers.
KEYHEADS_INLINE float exp_of(float x) {
  const float y = bounded_exp(x < -87.3f ? -87.3f : x);
  return x < -87.3f ? 0.0f : y;
}
KEYHEADS_INLINE double exp_of(double x) { return __builtin_exp(x); }

// An odd polynomial below 0.625, where 1 - 2 / (1 + exp(2 x)) would cancel.
KEYHEADS_INLINE float tanh_of(float x) {
  const float size = __builtin_fabsf(x), s = x * x;
  float p = -5.70498872745e-3f;
  p = mul_add(p, s, 2.06390887954e-2f);
  p = mul_add(p, s, -5.37397155531e-2f);
  p = mul_add(p, s, 1.33314422036e-1f);
  p = mul_add(p, s, -3.33332819422e-1f);
  const float small = mul_add(p * s, x, x);
  const float e = bounded_exp(2.0f * (size > 10.0f ? 10.0f : size));
  const float large = __builtin_copysignf(1.0f - 2.0f / (1.0f + e), x);
  return size < 0.625f ? small : large;
}
KEYHEADS_INLINE double tanh_of(double x) { return __builtin_tanh(x); }

// P(X < x) of a standard normal variable, and its density without the factor 1 / sqrt(2 pi)
template <class T>
struct Normal {
  T below, density;
};

// erfc(t) = exp(-t^2) u P(u), u = 1 / (1 + 0.4 t); P fitted to a relative error of 9e-9.
KEYHEADS_INLINE Normal<float> normal(float x) {
  const float t = __builtin_fabsf(x) * 0.707106781f;
  const float density = exp_of(-0.5f * (x * x));
  const float u = 1.0f / (1.0f + 0.4f * t);
  float p = -0.0286368206f;
  p = mul_add(p, u, 0.192821965f);
  p = mul_add(p, u, -0.486628920f);
  p = mul_add(p, u, 0.531227469f);
  p = mul_add(p, u, -0.270923942f);
  p = mul_add(p, u, 0.264874279f);
  p = mul_add(p, u, 0.132156268f);
  p = mul_add(p, u, 0.214390770f);
  p = mul_add(p, u, 0.225015268f);
  p = mul_add(p, u, 0.225703672f);
  const float tail = 0.5f * density * (p * u);
  return {x < 0.0f ? tail : 1.0f - tail, density};
}
KEYHEADS_INLINE Normal<double> normal(double x) {
  return {0.5 * __builtin_erfc(-x * 0.70710678118654752440), __builtin_exp(-0.5 * (x * x))};
}

// act(x) and act'(x)
template <class T>
struct Activated {
  T y, slope;
};

template <Activation kind, class T>
KEYHEADS_INLINE Activated<T> activated(T x) {
  if constexpr (kind == Activation::gelu) {
    const Normal<T> n = normal(x);
    return {x * n.below, n.below + x * (n.density * T(0.39894228040143267794))};
  } else if constexpr (kind == Activation::gelu_new) {
    // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)); beyond +-10 it is 0 or 1
    const T low = x < T(-10) ? T(-10) : x;
    const T z = low > T(10) ? T(10) : low;
    const T cube = T(0.044715) * (z * z);
    const T e = bounded_exp(T(-1.59576912160573071176) * (z + z * cube));
    const T du2 = T(1.59576912160573071176) * (T(1) + T(3) * cube);
    const T sigmoid = x < T(-10) ? T(0) : T(1) / (T(1) + e);
    return {x * sigmoid, sigmoid + z * (sigmoid * (e * sigmoid)) * du2};
  } else if constexpr (kind == Activation::relu) {
    return {x > T(0) ? x : T(0), x > T(0) ? T(1) : T(0)};
  } else {
    const T low = x < T(-87) ? T(-87) : x;
    const T z = low > T(87) ? T(87) : low;
    const T e = bounded_exp(-z);
    const T sigmoid = x < T(-87) ? T(0) : T(1) / (T(1) + e);
    return {x * sigmoid, sigmoid + z * (sigmoid * (e * sigmoid))};
  }
}

}  // namespace
}  // namespace keyheads::ops
