// Numbers as checkpoint files hold them: how one is read, and what it becomes. A leaf header.
#pragma once
#include "ops/pack_stored.h"

namespace keyheads::ops {
namespace {

template <class To, class From>
KEYHEADS_INLINE To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

struct FromF32 {
  using Bits = uint32_t;
  template <class T>
  KEYHEADS_INLINE static T full(Bits bits) {
    return static_cast<T>(same_bits<float>(bits));
  }
  KEYHEADS_INLINE static uint32_t bf16(Bits bits) { return round_to_bf16(same_bits<float>(bits)); }
};
struct FromF64 {
  using Bits = uint64_t;
  template <class T>
  KEYHEADS_INLINE static T full(Bits bits) {
    return static_cast<T>(same_bits<double>(bits));
  }
  // Through the float beside x whose last bit is odd, where x is none: rounding that is rounding x.
  KEYHEADS_INLINE static uint32_t bf16(Bits bits) {
    const auto x = same_bits<double>(bits);
    const auto nearest = static_cast<float>(x);
    auto upper = same_bits<uint32_t>(nearest);
    const double got = nearest < 0 ? -static_cast<double>(nearest) : nearest;
    const double want = x < 0 ? -x : x;
    if (got != want && upper % 2 == 0) upper = got < want ? upper + 1 : upper - 1;
    return round_to_bf16(same_bits<float>(upper));
  }
};
struct FromF16 {
  using Bits = uint16_t;
  // Exponents differ by 112; infinities and NaN have the highest of both.
  KEYHEADS_INLINE static float widen(Bits bits) {
    const uint32_t magnitude = (bits & 0x7fffu) << 13;
    const float scaled = same_bits<float>(magnitude) * 0x1p112f;
    const uint32_t special = (bits & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    const uint32_t sign = (bits & 0x8000u) << 16;
    return same_bits<float>(same_bits<uint32_t>(scaled) | special | sign);
  }
  template <class T>
  KEYHEADS_INLINE static T full(Bits bits) {
    return static_cast<T>(widen(bits));
  }
  KEYHEADS_INLINE static uint32_t bf16(Bits bits) { return round_to_bf16(widen(bits)); }
};
struct FromBf16 {
  using Bits = uint16_t;
  template <class T>
  KEYHEADS_INLINE static T full(Bits bits) {
    return static_cast<T>(Bf16Pair::widen(static_cast<uint32_t>(bits) << 16));
  }
  KEYHEADS_INLINE static uint32_t bf16(Bits bits) { return bits; }
};

// f(From{}) with the type that is stored
template <class F>
void with_stored(Stored type, const F& f) {
  switch (type) {
    case Stored::f32:
      return f(FromF32{});
    case Stored::f64:
      return f(FromF64{});
    case Stored::f16:
      return f(FromF16{});
    case Stored::bf16:
      return f(FromBf16{});
  }
}

}  // namespace
}  // namespace keyheads::ops
