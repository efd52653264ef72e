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
// padded: their columns beyond the target's are read. A row of pairs is two rows.
template <class E>
struct Right {
  using Element = E;

  const E* data;
  int64_t row, strip;

  KEYHEADS_INLINE Right from(int64_t k) const {
    return {data + k / kPerElement<E> * row, row, strip};
  }
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

// sum[r][s] += left[r] column[s]
template <class T, int R, int N>
KEYHEADS_INLINE void outer_product(const T* left, int64_t a_row,
                                   const typename Simd<T>::V (&column)[N],
                                   typename Simd<T>::V (&sum)[R][N]) {
  using S = Simd<T>;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const typename S::V x = S::set(left[r * a_row]);
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) sum[r][s] = S::fma(x, column[s], sum[r][s]);
  }
}

// What one row of the right matrix adds, `rows` of k if it holds pairs.
template <class T, class L, class E, int R, int N>
KEYHEADS_INLINE void add_row(const L* left, int64_t a_row, [[maybe_unused]] int64_t a_col,
                             const E* right, int64_t b_strip, [[maybe_unused]] int64_t rows,
                             typename Simd<T>::V (&sum)[R][N]) {
  using S = Simd<T>;
  typename S::V column[N];
  if constexpr (kPerElement<E> == 1) {
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) column[s] = S::load(right + s * b_strip);
    outer_product<T, R, N>(left, a_row, column, sum);
  } else if constexpr (kPerElement<L> == 1) {
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) column[s] = S::load_firsts(right + s * b_strip);
    outer_product<T, R, N>(left, a_row, column, sum);
    if (rows == 1) return;
    // the pairs are loaded again: with them in registers, the sums of a large tile would not fit
    asm("" ::: "memory");
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) column[s] = S::load_seconds(right + s * b_strip);
    outer_product<T, R, N>(left + a_col, a_row, column, sum);
  } else {
#ifdef __AVX512BF16__
    __m512bh pairs[N];
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) pairs[s] = load_pairs(right + s * b_strip);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512bh x = set_pairs(left[r * a_row]);
#pragma GCC unroll 8
      for (int s = 0; s < N; ++s) sum[r][s] = _mm512_dpbf16_ps(sum[r][s], x, pairs[s]);
    }
#endif
  }
}

// R x N strips; `cols` of them are stored. The left matrix holds T, or pairs if the right one does.
template <class T, class L, class E, int R, int N>
[[gnu::noinline]] void tile(const Left<L>& a, const Right<E>& b, const Target<T>& c,
                            int64_t depth) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  // rows of k at a time, and elements of the left matrix that belong to them
  constexpr int64_t K = kPerElement<E>, A = K / kPerElement<L>;
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
  const L* left = a.data;
  const E* right = b.data;
  const int64_t a_row = a.row, a_col = a.col, b_row = b.row, b_strip = b.strip;
  const int64_t whole = depth / K * K;
#pragma GCC unroll 4
  for (int64_t k = 0; k < whole; k += K) {
    if constexpr (R == 1) {  // bound by memory: fetch 2 kB ahead
      for (int64_t line = 0; line < N * W * static_cast<int64_t>(sizeof(E)); line += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(right) + 2048 + line);
      }
    }
    add_row<T, L, E, R, N>(left, a_row, a_col, right, b_strip, K, sum);
    left += A * a_col;
    right += b_row;
  }
  if (K > 1 && whole < depth) add_row<T, L, E, R, N>(left, a_row, a_col, right, b_strip, 1, sum);
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
template <class T, class L, class E, int R>
KEYHEADS_INLINE void tile_row(const Left<L>& a, Right<E> b, Target<T> c, int64_t depth) {
  constexpr int64_t W = Simd<T>::kWidth;
  constexpr int N = tile_strips<T>(R);
  const auto advance = [&](int64_t strips) {
    b.data += strips * b.strip;
    c.data += strips * W;
    c.cols -= strips * W;
    if (c.bias) c.bias += strips * W;
  };
  for (; c.cols > (N - 1) * W; advance(N)) tile<T, L, E, R, N>(a, b, c, depth);
  if constexpr (N > 2) {
    for (; c.cols > W; advance(2)) tile<T, L, E, R, 2>(a, b, c, depth);
  }
  for (; c.cols > 0; advance(1)) tile<T, L, E, R, 1>(a, b, c, depth);
}

template <class T, class L = T, class E = T>
KEYHEADS_INLINE void tile_rows(int64_t rows, const Left<L>& a, const Right<E>& b,
                               const Target<T>& c, int64_t depth) {
  static_assert(kTileRows == 6);
  switch (rows) {
    case 1:
      return tile_row<T, L, E, 1>(a, b, c, depth);
    case 2:
      return tile_row<T, L, E, 2>(a, b, c, depth);
    case 3:
      return tile_row<T, L, E, 3>(a, b, c, depth);
    case 4:
      return tile_row<T, L, E, 4>(a, b, c, depth);
    case 5:
      return tile_row<T, L, E, 5>(a, b, c, depth);
    case 6:
      return tile_row<T, L, E, 6>(a, b, c, depth);
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
template <class T, class L = T, class E = T>
KEYHEADS_INLINE void multiply(int64_t rows, const Left<L>& a, const Right<E>& b, const Target<T>& c,
                              int64_t depth) {
  for_tiles(rows, [&](int64_t first, int64_t count) {
    tile_rows<T, L, E>(count, {a.data + first * a.row, a.row, a.col}, b,
                       {c.data + first * c.stride, c.stride, c.cols, c.accumulate, c.bias}, depth);
  });
}

}  // namespace
}  // namespace keyheads::ops
