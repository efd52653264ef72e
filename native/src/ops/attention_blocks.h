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

// Rows (n, width) as strips of their transpose: the right side of x . row for every row.
// `to` has padded(n) * width elements, of which only whole vectors of keys are read.
template <class T>
KEYHEADS_INLINE void pack_keys(const Mat<const T>& rows, int64_t first, T* to) {
  constexpr int64_t W = Simd<T>::kWidth;
  for (int64_t r = 0; r < rows.rows;) {
    const int64_t key = first + r, lane = key % W;
    const int64_t count = smaller(W - lane, rows.rows - r);
    transpose(rows.row(r), rows.stride, count, rows.cols, to + (key - lane) * rows.cols + lane, W);
    r += count;
  }
}
template <class T>
KEYHEADS_INLINE void pad_keys(int64_t n, int64_t width, T* to) {
  constexpr int64_t W = Simd<T>::kWidth;
  if (n % W == 0) return;
  T* strip = to + n / W * W * width;
  for (int64_t e = 0; e < width; ++e) {
    for (int64_t lane = n % W; lane < W; ++lane) strip[e * W + lane] = 0;
  }
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

// p = softmax(s) over n entries, zeros from there to `end`. In place allowed. Entries of -infinity
// become 0, and how many of them follow matters to no other bit.
template <class T>
KEYHEADS_INLINE void softmax_row(T* p, const T* s, int64_t n, int64_t end) {
  const T top = row_max(s, n);
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) p[j] = exp_of(s[j] - top);
  const T inverse = T(1) / row_sum(p, n);
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) p[j] *= inverse;
  for (int64_t j = n; j < end; ++j) p[j] = 0;
}

template <class T>
KEYHEADS_INLINE void scale_scores(T* x, int64_t n, T factor) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) x[j] *= factor;
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
