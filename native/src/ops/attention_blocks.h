// What the attention ops share: packed keys, values and queries of one sequence and head, and the
// products with them. A leaf header.
//
// Every product is a chain over ascending width, or over ascending keys (see gemm.h), so its bits
// depend neither on the block of queries it is computed in nor on what is cached. Chains over keys
// may go on over masked keys: their weight is 0.
#pragma once
#include "ops/attention.h"
#include "ops/gemm.h"
#include "ops/reduce.h"
#include "ops/transpose.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

template <class T>
constexpr int64_t padded(int64_t n) {
  return ceil_div(n, Simd<T>::kWidth) * Simd<T>::kWidth;
}

// The columns of one head (or group) of a segment's rows.
template <class T>
KEYHEADS_INLINE Mat<T> part(const Mat<T>& m, int64_t row, int64_t rows, int64_t head,
                            int64_t width) {
  return {m.row(row) + head * width, rows, width, m.stride};
}

// Cuts one piece of scratch memory into parts.
template <class T>
class Arena {
 public:
  explicit Arena(int64_t elements)
      : next_(align_up(
            static_cast<T*>(thread_scratch(static_cast<size_t>(elements + 64) * sizeof(T))))) {}
  T* take(int64_t elements) {
    T* part = next_;
    next_ += elements;
    return part;
  }

 private:
  T* next_;
};

// n keys (width each, key(j) points to one) as strips of their transpose: the right side of
// x . key for every key. `to` has padded(n) * width elements; what the padding holds is left open:
// nobody stores the products with it.
template <class T, class Key>
KEYHEADS_INLINE void pack_keys(int64_t n, int64_t width, const Key& key, T* to) {
  constexpr int64_t W = Simd<T>::kWidth;
  constexpr int64_t kGroup = W < kBlock ? W : kBlock;
  for (int64_t j = 0; j < n; j += kGroup) {
    const int64_t count = smaller(kGroup, n - j);
    const T* rows[kBlock];  // beyond the last key, the last again
    for (int64_t i = 0; i < kBlock; ++i) rows[i] = key(j + smaller(i, count - 1));
    T* strip = to + j / W * W * width + j % W;
    int64_t e = 0;
    for (; kGroup == kBlock && e + kBlock <= width; e += kBlock) {
      transpose_block(rows, e, strip + e * W, W);
    }
    for (; e < width; ++e) {
      for (int64_t i = 0; i < kGroup; ++i) strip[e * W + i] = rows[i][e];
    }
  }
}
template <class T>
KEYHEADS_INLINE void pack_keys(const Mat<const T>& rows, T* to) {
  pack_keys(
      rows.rows, rows.cols, [&](int64_t j) { return rows.row(j); }, to);
}
template <class T>
KEYHEADS_INLINE Right<T> keys_right(const T* packed, int64_t width) {
  return {packed, Simd<T>::kWidth, Simd<T>::kWidth * width};
}

// Rows (n, width), times factor, as strips of their columns: the right side of weights . rows.
// `to` has `length` rows in all, of which rows.rows are written from `first` on.
template <class T>
KEYHEADS_INLINE void pack_rows(const Mat<const T>& rows, int64_t first, int64_t length, T factor,
                               T* to) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  const auto scale = S::set(factor);
  for (int64_t r = 0; r < rows.rows; ++r) {
    const T* from = rows.row(r);
    T* line = to + (first + r) * W;
    int64_t e = 0;
    for (; e + W <= rows.cols; e += W) S::store(line + e * length, scale * S::load(from + e));
    if (e < rows.cols) {
      S::store(line + e * length, scale * S::load_first(from + e, rows.cols - e));
    }
  }
}
template <class T>
KEYHEADS_INLINE Right<T> rows_right(const T* packed, int64_t length) {
  return {packed, Simd<T>::kWidth, Simd<T>::kWidth * length};
}

// 0 where an entry is seen, -infinity beyond: read from kTail + W - (number of entries seen)
template <class T>
struct Tail {
  static constexpr int64_t W = Simd<T>::kWidth;
  T value[2 * W];
  constexpr Tail() : value() {
    for (int64_t i = W; i < 2 * W; ++i) value[i] = -static_cast<T>(__builtin_inf());
  }
};
template <class T>
constexpr Tail<T> kTail;

// Rows of at most kTileRows queries in scratch memory, `line` apart: p = softmax(scale * p) over
// the `seen` entries of the first, one more for every next, zeros from there to the end of the
// vector that holds entry `end` - 1. Entries of -infinity become 0, and how many of them follow
// matters to no other bit. The rows go through each step together, since a step waits for itself.
template <class T>
KEYHEADS_INLINE void softmax_lines(T* p, int64_t line, int64_t rows, int64_t seen, T scale,
                                   int64_t end) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  const int64_t length = padded<T>(end);
  const auto factor = S::set(scale);
  T top[kTileRows], inverse[kTileRows];
  for (int64_t r = 0; r < rows; ++r) {
    T* row = p + r * line;
    auto most = S::set(-static_cast<T>(__builtin_inf()));
    for (int64_t j = 0; j < length; j += W) {
      const int64_t rest = larger<int64_t>(0, smaller(W, seen + r - j));
      const auto x =
          rest == W ? S::load(row + j) * factor
                    : S::load_first(row + j, rest) * factor + S::load(kTail<T>.value + W - rest);
      S::store(row + j, x);
      most = S::max(most, x);
    }
    top[r] = S::max(most);
  }
  for (int64_t r = 0; r < rows; ++r) {
    T* row = p + r * line;
    auto sum = S::zero();
    for (int64_t j = 0; j < length; j += W) {
#pragma GCC ivdep
      for (int64_t i = j; i < j + W; ++i) row[i] = exp_of(row[i] - top[r]);
      sum = sum + S::load(row + j);
    }
    inverse[r] = T(1) / S::sum(sum);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const auto by = S::set(inverse[r]);
    T* row = p + r * line;
    for (int64_t j = 0; j < length; j += W) S::store(row + j, S::load(row + j) * by);
  }
}

// ds = p * (dp - sum(p * dp)). In place of dp allowed.
template <class T>
KEYHEADS_INLINE void softmax_row_backward(T* ds, const T* dp, const T* p, int64_t n) {
  const T sum = row_dot(p, dp, n);
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) ds[j] = p[j] * (dp[j] - sum);
}

// Query `first + r` of a pattern: its causal part, zeros from there to `end`.
template <class T>
KEYHEADS_INLINE void copy_causal(T* to, const T* from, int64_t query, int64_t end) {
  for (int64_t j = 0; j <= query; ++j) to[j] = from[j];
  for (int64_t j = query + 1; j < end; ++j) to[j] = 0;
}

template <class T>
KEYHEADS_INLINE void set_zero(const Mat<T>& m) {
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.cols; ++c) m.row(r)[c] = 0;
  }
}

// Queries whose pattern is held at a time by the backward passes.
inline constexpr int64_t kQueries = 48;

// to (keys, width) += weights^T rows, where row i of the weights is that of query first + i and
// is zero beyond key first + i: the queries before a key add nothing.
template <class T>
KEYHEADS_INLINE void add_transposed(const Mat<T>& to, const Mat<const T>& weights, int64_t first,
                                    const Right<T>& rows) {
  for_tiles(to.rows, [&](int64_t key, int64_t count) {
    const int64_t skip = larger<int64_t>(0, key - first);
    if (skip >= weights.rows) return;
    Right<T> right = rows;
    right.data += skip * rows.row;
    tile_rows<T>(count, {weights.row(skip) + key, 1, weights.stride}, right,
                 {to.row(key), to.stride, to.cols, true}, weights.rows - skip);
  });
}

}  // namespace
}  // namespace keyheads::ops
