// Views: memory that somebody else owns, row-major. A leaf header: kernels compiled per
// instruction set include it, so everything here is forced inline.
#pragma once
#include <cstdint>

#define KEYHEADS_INLINE [[gnu::always_inline]] inline

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

// A weight W of shape (n, k) = (out, in), packed for the GEMM as [ceil(n / 64)][k][64]:
// panel p holds rows 64 p .. 64 p + 63 of W, column by column; rows beyond n are zero.
template <class T>
struct Panels {
  T* data = nullptr;
  int64_t n = 0;
  int64_t k = 0;

  KEYHEADS_INLINE int64_t count() const { return (n + kPanel - 1) / kPanel; }
  KEYHEADS_INLINE T* panel(int64_t p) const { return data + p * k * kPanel; }
  KEYHEADS_INLINE T& at(int64_t row, int64_t col) const {
    return data[(row / kPanel * k + col) * kPanel + row % kPanel];
  }
  KEYHEADS_INLINE operator Panels<const T>() const { return {data, n, k}; }
};

}  // namespace keyheads
