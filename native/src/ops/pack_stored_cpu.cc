#include "ops/pack_stored.h"
#include "ops/transpose.h"

namespace keyheads::ops {
namespace {

template <class To, class From>
KEYHEADS_INLINE To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// One stored number: how it is read, and what it becomes.
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

template <class From>
KEYHEADS_INLINE typename From::Bits read(const void* data, int64_t index) {
  typename From::Bits bits;
  __builtin_memcpy(&bits, static_cast<const char*>(data) + index * sizeof bits, sizeof bits);
  return bits;
}

// `count` neighbours in k, `step` numbers apart, as elements.
template <class From, class T>
KEYHEADS_INLINE void convert(const void* data, int64_t first, int64_t step, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = From::template full<T>(read<From>(data, first + i * step));
  }
}
template <class From, class T>
KEYHEADS_INLINE void convert(const void* data, int64_t first, int64_t step, int64_t count,
                             Bf16Pair* to) {
  for (int64_t i = 0; i < count / 2; ++i) {
    to[i].bits = From::bf16(read<From>(data, first + 2 * i * step)) |
                 From::bf16(read<From>(data, first + (2 * i + 1) * step)) << 16;
  }
  if (count % 2) to[count / 2].bits = From::bf16(read<From>(data, first + (count - 1) * step));
}

// Pairs are moved as floats of the same bits, which no move changes.
template <class T>
KEYHEADS_INLINE T* movable(T* p) {
  return p;
}
KEYHEADS_INLINE float* movable(Bf16Pair* p) { return reinterpret_cast<float*>(p); }

// Rows of the file are rows of W: converted into lines that stay in the cache, then transposed.
template <class From, class T, class E>
KEYHEADS_INLINE void pack_rows(const PackStored<T>& a, const Panels<E>& w) {
  constexpr int64_t kColumns = 128;
  alignas(64) E lines[kPanel * kColumns / kPerElement<E>];
  constexpr int64_t kLine = kColumns / kPerElement<E>;
  for (int64_t row = 0; row < a.rows;) {
    const int64_t n = a.row0 + row;
    const int64_t rows = smaller(kPanel - n % kPanel, a.rows - row);
    for (int64_t col = 0; col < a.cols; col += kColumns) {
      const int64_t cols = smaller(kColumns, a.cols - col);
      for (int64_t r = 0; r < rows; ++r) {
        convert<From, T>(a.data, (row + r) * a.row_step + col, 1, cols, lines + r * kLine);
      }
      transpose(movable(lines), kLine, rows, ceil_div(cols, kPerElement<E>),
                movable(&w.at(n, a.col0 + col)), kPanel);
    }
    row += rows;
  }
}

// Columns of the file are rows of W: neighbours in a panel already.
template <class From, class T, class E>
KEYHEADS_INLINE void pack_columns(const PackStored<T>& a, const Panels<E>& w) {
  constexpr int64_t K = kPerElement<E>;
  for (int64_t col = 0; col < a.cols; col += K) {
    const int64_t cols = smaller(K, a.cols - col);
    for (int64_t row = 0; row < a.rows;) {
      const int64_t n = a.row0 + row;
      const int64_t rows = smaller(kPanel - n % kPanel, a.rows - row);
      E* to = &w.at(n, a.col0 + col);
      for (int64_t r = 0; r < rows; ++r) {
        convert<From, T>(a.data, row + r + col * a.col_step, a.col_step, cols, to + r);
      }
      row += rows;
    }
  }
}

template <class From, class T>
KEYHEADS_INLINE void pack_from(const PackStored<T>& a) {
  a.w.visit(
      [&](const auto& w) { a.col_step == 1 ? pack_rows<From>(a, w) : pack_columns<From>(a, w); });
}

template <class From, class T>
KEYHEADS_INLINE void convert_from(const ConvertStored<T>& a) {
  if (a.storage == Storage::full) return convert<From, T>(a.data, 0, 1, a.count, a.y);
  for (int64_t i = 0; i < a.count; ++i) {
    a.y[i] = static_cast<T>(Bf16Pair::widen(From::bf16(read<From>(a.data, i)) << 16));
  }
}

// f(From{}) with the type that is stored
template <class F>
KEYHEADS_INLINE void with_stored(Stored type, const F& f) {
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

template <class T>
void pack_stored_impl(Context&, const PackStored<T>& a) {
  with_stored(a.type, [&]<class From>(From) { pack_from<From>(a); });
}

template <class T>
void convert_stored_impl(Context&, const ConvertStored<T>& a) {
  with_stored(a.type, [&]<class From>(From) { convert_from<From>(a); });
}

}  // namespace

DEFINE_OP(pack_stored, PackStored)
DEFINE_OP(convert_stored, ConvertStored)

}  // namespace keyheads::ops
