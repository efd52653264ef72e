// The product of two small matrices, the kernel under linear and attention.
// Every output is one chain of Simd::fma over ascending k, whatever the tile it is computed in: its
// bits depend on its row of the left and its column of the right matrix only. A leaf header.
#pragma once
#include "ops/rows.h"
#include "ops/simd.h"

namespace keyheads::ops {
namespace {

// Element (r, k) at data[r * row + k * col].
template <class T>
struct Left {
  const T* data;
  int64_t row, col;
};

// Columns in strips of one vector: row k of strip s at data[k * row + s * strip]. Strips are
// padded: their columns beyond the target's are read.
template <class T>
struct Right {
  const T* data;
  int64_t row, strip;
};

template <class T>
struct Target {
  T* data;
  int64_t stride;
  int64_t cols;
  bool accumulate;          // the chains begin at what is there, not at zero
  const T* bias = nullptr;  // (cols), added last
};

inline constexpr int kTileRows = 6;

// Strips that a tile of R rows spans, so that its sums fill the registers but leave some for the
// operands.
template <class T>
constexpr int tile_strips(int R) {
  const int most = R == 1 ? 8 : R <= 3 ? 4 : Simd<T>::kRegisters == 32 ? 4 : 2;
  // a panel has 64 columns; more strips than that would not be contiguous
  const int panel = static_cast<int>(kPanel / Simd<T>::kWidth);
  return most < panel ? most : panel;
}

// R x N strips; `cols` of them are stored.
template <class T, int R, int N>
[[gnu::noinline]] void tile(const Left<T>& a, const Right<T>& b, const Target<T>& c,
                            int64_t depth) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  typename S::V sum[R][N];
  const auto full = [&](int s) { return (s + 1) * W <= c.cols; };
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) {
      const T* p = c.data + r * c.stride + s * W;
      sum[r][s] = !c.accumulate ? S::zero()
                  : full(s)     ? S::load(p)
                                : S::load_first(p, c.cols - s * W);
    }
  }
  const T* left = a.data;
  const T* right = b.data;
  const int64_t a_row = a.row, a_col = a.col, b_row = b.row, b_strip = b.strip;
#pragma GCC unroll 4
  for (int64_t k = 0; k < depth; ++k) {
    if constexpr (R == 1) {  // bound by memory: fetch 2 kB ahead
      for (int64_t line = 0; line < N * W * static_cast<int64_t>(sizeof(T)); line += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(right) + 2048 + line);
      }
    }
    typename S::V column[N];
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) column[s] = S::load(right + s * b_strip);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename S::V x = S::set(left[r * a_row]);
#pragma GCC unroll 8
      for (int s = 0; s < N; ++s) sum[r][s] = S::fma(x, column[s], sum[r][s]);
    }
    left += a_col;
    right += b_row;
  }
#pragma GCC unroll 8
  for (int s = 0; s < N; ++s) {
    const int64_t cols = full(s) ? W : c.cols - s * W;
    typename S::V bias = S::zero();
    if (c.bias) bias = full(s) ? S::load(c.bias + s * W) : S::load_first(c.bias + s * W, cols);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename S::V y = c.bias ? sum[r][s] + bias : sum[r][s];
      T* p = c.data + r * c.stride + s * W;
      if (full(s)) {
        S::store(p, y);
      } else {
        S::store_first(p, y, cols);
      }
    }
  }
}

// All strips of R rows.
template <class T, int R>
KEYHEADS_INLINE void tile_row(const Left<T>& a, Right<T> b, Target<T> c, int64_t depth) {
  constexpr int64_t W = Simd<T>::kWidth;
  constexpr int N = tile_strips<T>(R);
  const auto advance = [&](int64_t strips) {
    b.data += strips * b.strip;
    c.data += strips * W;
    c.cols -= strips * W;
    if (c.bias) c.bias += strips * W;
  };
  for (; c.cols > (N - 1) * W; advance(N)) tile<T, R, N>(a, b, c, depth);
  if constexpr (N > 2) {
    for (; c.cols > W; advance(2)) tile<T, R, 2>(a, b, c, depth);
  }
  for (; c.cols > 0; advance(1)) tile<T, R, 1>(a, b, c, depth);
}

template <class T>
KEYHEADS_INLINE void tile_rows(int64_t rows, const Left<T>& a, const Right<T>& b,
                               const Target<T>& c, int64_t depth) {
  static_assert(kTileRows == 6);
  switch (rows) {
    case 1:
      return tile_row<T, 1>(a, b, c, depth);
    case 2:
      return tile_row<T, 2>(a, b, c, depth);
    case 3:
      return tile_row<T, 3>(a, b, c, depth);
    case 4:
      return tile_row<T, 4>(a, b, c, depth);
    case 5:
      return tile_row<T, 5>(a, b, c, depth);
    case 6:
      return tile_row<T, 6>(a, b, c, depth);
  }
}

// Calls f(first, rows) for tiles of at most kTileRows rows, as equal as they can be: 7 rows are
// 4 and 3, not 6 and 1.
template <class F>
KEYHEADS_INLINE void for_tiles(int64_t rows, const F& f) {
  for (int64_t tiles = ceil_div(rows, kTileRows), first = 0; tiles > 0; --tiles) {
    const int64_t count = ceil_div(rows - first, tiles);
    f(first, count);
    first += count;
  }
}

// c [+]= a b
template <class T>
KEYHEADS_INLINE void multiply(int64_t rows, const Left<T>& a, const Right<T>& b, const Target<T>& c,
                              int64_t depth) {
  for_tiles(rows, [&](int64_t first, int64_t count) {
    tile_rows<T>(count, {a.data + first * a.row, a.row, a.col}, b,
                 {c.data + first * c.stride, c.stride, c.cols, c.accumulate, c.bias}, depth);
  });
}

}  // namespace
}  // namespace keyheads::ops
