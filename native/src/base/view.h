// Views: memory that somebody else owns, row-major. A leaf header: kernels compiled per
// instruction set include it, so everything here is forced inline.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define KEYHEADS_INLINE __host__ __device__ __forceinline__
#else
#define KEYHEADS_INLINE [[gnu::always_inline]] inline
#endif

namespace keyheads {

// (rows, cols), consecutive rows `stride` elements apart.
template <class T>
struct Mat {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  KEYHEADS_INLINE T* row(int64_t r) const { return data + r * stride; }
  KEYHEADS_INLINE operator Mat<const T>() const { return {data, rows, cols, stride}; }
};

inline constexpr int64_t kPanel = 64;

// Two bfloat16 (upper halves of floats) that are neighbours in k: the first in the lower half.
// A load of consecutive pairs and one shift or mask widens a whole vector of either.
struct Bf16Pair {
  uint32_t bits;

  KEYHEADS_INLINE static float widen(uint32_t upper) {
    float value;
    __builtin_memcpy(&value, &upper, sizeof value);
    return value;
  }
  KEYHEADS_INLINE float first() const { return widen(bits << 16); }
  KEYHEADS_INLINE float second() const { return widen(bits & 0xffff0000u); }
};

// The bfloat16 nearest to x, ties to even, in the lower half.
KEYHEADS_INLINE uint32_t round_to_bf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const uint32_t quiet_nan = bits >> 16 | 0x40u;
  return (bits & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded;
}

KEYHEADS_INLINE float rounded_to_bf16(float x) { return Bf16Pair::widen(round_to_bf16(x) << 16); }

// How many neighbours in k one element of a panel holds.
template <class E>
inline constexpr int64_t kPerElement = 1;
template <>
inline constexpr int64_t kPerElement<Bf16Pair> = 2;
template <>
inline constexpr int64_t kPerElement<const Bf16Pair> = 2;

// A weight W of shape (n, k) = (out, in), packed for the GEMM as [ceil(n / 64)][k][64]:
// panel p holds rows 64 p .. 64 p + 63 of W, column by column; rows beyond n are zero. In pairs it
// is [ceil(n / 64)][ceil(k / 2)][64]; a last column without neighbour has a zero beside it.
template <class E>
struct Panels {
  E* data = nullptr;
  int64_t n = 0;
  int64_t k = 0;

  KEYHEADS_INLINE int64_t count() const { return (n + kPanel - 1) / kPanel; }
  // elements of a panel's row
  KEYHEADS_INLINE int64_t depth() const { return (k + kPerElement<E> - 1) / kPerElement<E>; }
  KEYHEADS_INLINE int64_t size() const { return count() * depth() * kPanel; }
  KEYHEADS_INLINE E* panel(int64_t p) const { return data + p * depth() * kPanel; }
  // the element that holds W[row, col]
  KEYHEADS_INLINE E& at(int64_t row, int64_t col) const {
    return panel(row / kPanel)[col / kPerElement<E> * kPanel + row % kPanel];
  }
  KEYHEADS_INLINE operator Panels<const E>() const { return {data, n, k}; }
};

template <class T>
KEYHEADS_INLINE T read_element(const Panels<T>& w, int64_t row, int64_t col) {
  return w.at(row, col);
}
KEYHEADS_INLINE float read_element(const Panels<Bf16Pair>& w, int64_t row, int64_t col) {
  const Bf16Pair pair = w.at(row, col);
  return col % 2 ? pair.second() : pair.first();
}
template <class T>
KEYHEADS_INLINE void write_element(const Panels<T>& w, int64_t row, int64_t col, T value) {
  w.at(row, col) = value;
}
KEYHEADS_INLINE void write_element(const Panels<Bf16Pair>& w, int64_t row, int64_t col,
                                   float value) {
  uint32_t& bits = w.at(row, col).bits;
  bits = col % 2 ? (bits & 0xffffu) | round_to_bf16(value) << 16
                 : (bits & 0xffff0000u) | round_to_bf16(value);
}

// How the elements of a weight are kept: as the type that is computed with, or as bfloat16.
enum class Storage : uint8_t { full, bf16 };

// A packed weight, which says how it is stored. Models in double keep theirs in full.
template <class T>
struct Weight {
  void* data = nullptr;
  int64_t n = 0;
  int64_t k = 0;
  Storage storage = Storage::full;

  KEYHEADS_INLINE Panels<T> full() const { return {static_cast<T*>(data), n, k}; }
  KEYHEADS_INLINE Panels<Bf16Pair> bf16() const { return {static_cast<Bf16Pair*>(data), n, k}; }
  // f(panels) with those that are there
  template <class F>
  KEYHEADS_INLINE void visit(const F& f) const {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (storage == Storage::bf16) return f(bf16());
    }
    f(full());
  }
  KEYHEADS_INLINE int64_t bytes() const {
    int64_t total = 0;
    visit([&](const auto& panels) {
      total = panels.size() * static_cast<int64_t>(sizeof *panels.data);
    });
    return total;
  }
};

}  // namespace keyheads
