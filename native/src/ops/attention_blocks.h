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

// Distance of rows of n entries that are used together: an odd number of cache lines, since rows a
// power of two apart would drive each other out of the cache.
template <class T>
constexpr int64_t line_of(int64_t n) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  return (ceil_div(n, kLine) | 1) * kLine;
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

// Rows lie far apart, so that the processor does not see which comes next: fetches it ahead.
template <class T>
KEYHEADS_INLINE void fetch_row(const T* row, int64_t width) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  for (int64_t e = 0; e < width; e += kLine) __builtin_prefetch(row + e);
}
inline constexpr int64_t kFetchAhead = 16;

// n keys (width each, key(j) points to one; there are `all` of them) as strips of their transpose:
// the right side of x . key for every key. `to` has padded(n) * width elements; what the padding
// holds is left open: nobody stores the products with it.
template <class T, class Key>
KEYHEADS_INLINE void pack_keys(int64_t n, int64_t all, int64_t width, const Key& key, T* to) {
  constexpr int64_t W = Simd<T>::kWidth;
  constexpr int64_t kGroup = W < kBlock ? W : kBlock;
  for (int64_t j = 0; j < n; j += kGroup) {
    for (int64_t i = j + kFetchAhead; i < smaller(j + kFetchAhead + kGroup, all); ++i) {
      fetch_row(key(i), width);
    }
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
KEYHEADS_INLINE Right<T> keys_right(const T* packed, int64_t width) {
  return {packed, Simd<T>::kWidth, Simd<T>::kWidth * width};
}

// n rows (row(r) points to one; there are `all` of them), times factor, as strips of their columns:
// the right side of weights . rows. A strip of `to` has `length` rows.
template <class T, class Row>
KEYHEADS_INLINE void pack_rows(int64_t n, int64_t all, int64_t width, const Row& row,
                               int64_t length, T factor, T* to) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  const auto scale = S::set(factor);
  for (int64_t r = 0; r < n; ++r) {
    if (r + kFetchAhead < all) fetch_row(row(r + kFetchAhead), width);
    const T* from = row(r);
    T* line = to + r * W;
    int64_t e = 0;
    for (; e + W <= width; e += W) S::store(line + e * length, scale * S::load(from + e));
    if (e < width) S::store(line + e * length, scale * S::load_first(from + e, width - e));
  }
}
template <class T>
KEYHEADS_INLINE void pack_rows(const Mat<const T>& rows, int64_t length, T factor, T* to) {
  pack_rows(
      rows.rows, rows.rows, rows.cols, [&](int64_t r) { return rows.row(r); }, length, factor, to);
}
template <class T>
KEYHEADS_INLINE Right<T> rows_right(const T* packed, int64_t length) {
  return {packed, Simd<T>::kWidth, Simd<T>::kWidth * length};
}

// Keys begin .. end - 1 are those that some of the queries first .. first + count - 1 see; all
// indices count from the first past key. `begin` is a multiple of the vector width, so that a key
// is in the same lane whatever part of a row is looked at.
struct KeyRange {
  int64_t begin, end;
  KEYHEADS_INLINE int64_t count() const { return end - begin; }
};
// The first key that a query sees.
KEYHEADS_INLINE int64_t first_key(int64_t query, int64_t window) {
  return window > 0 ? larger<int64_t>(0, query + 1 - window) : 0;
}
template <class T>
KEYHEADS_INLINE KeyRange seen_keys(int64_t first, int64_t count, int64_t window) {
  constexpr int64_t W = Simd<T>::kWidth;
  return {first_key(first, window) / W * W, first + count};
}

// Key j of a segment and group, its past first; likewise its values.
template <class T>
struct GroupRows {
  const T* past;
  int64_t past_rows, past_stride;
  Mat<const T> own;
  KEYHEADS_INLINE const T* operator()(int64_t j) const {
    return j < past_rows ? past + j * past_stride : own.row(j - past_rows);
  }
};
template <class T>
KEYHEADS_INLINE GroupRows<T> group_rows(const Segment<T>& s, const T* past, const Mat<const T>& own,
                                        int64_t group, int64_t groups, int64_t width) {
  return {past ? past + group * width : nullptr, s.past_rows, groups * width,
          part(own, s.row, s.rows, group, width)};
}

// -infinity up to entry W - 1 and from 2 W on, +infinity between: what the entries of a vector must
// not exceed.
template <class T>
struct Limits {
  static constexpr int64_t W = Simd<T>::kWidth;
  T value[3 * W];
  constexpr Limits() : value() {
    constexpr T kInfinity = static_cast<T>(__builtin_inf());
    for (int64_t i = 0; i < 3 * W; ++i) value[i] = i / W == 1 ? kInfinity : -kInfinity;
  }
};
template <class T>
constexpr Limits<T> kLimits;

// cap * tanh(scale * x / cap) of n entries
template <class T>
KEYHEADS_INLINE void cap_scores(T* x, int64_t n, T scale, T cap) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) x[j] = cap * tanh_of(x[j] * scale / cap);
}
// Caps the first n entries of some lines, if there is a cap; returns the factor that is then still
// to be applied.
template <class T>
KEYHEADS_INLINE T cap_lines(T* p, int64_t line, int64_t rows, int64_t n, T scale, T cap) {
  if (!(cap > 0)) return scale;
  for (int64_t r = 0; r < rows; ++r) cap_scores(p + r * line, n, scale, cap);
  return T(1);
}
// The derivative of cap * tanh(x / cap), from its value.
template <class T>
KEYHEADS_INLINE T cap_slope(T value, T cap) {
  return T(1) - (value / cap) * (value / cap);
}

// Rows of at most kTileRows queries in scratch memory, `line` apart: p = softmax(scale * p) over
// the entries lowest .. seen - 1 of the first, where `seen` is one more for every next row and
// `lowest` begins to move with it once a window is full; zeros elsewhere up to the end of the
// vector that holds entry `end` - 1. How many zeros there are matters to no other bit. The rows go
// through each step together, since a step waits for itself.
template <class T>
KEYHEADS_INLINE void softmax_lines(T* p, int64_t line, int64_t rows, int64_t seen, int64_t step,
                                   int64_t window, T scale, int64_t end) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  const int64_t length = padded<T>(end);
  const auto factor = S::set(scale);
  T top[kTileRows], inverse[kTileRows];
  for (int64_t r = 0; r < rows; ++r) {
    T* row = p + r * line;
    const int64_t last = seen + r * step, lowest = first_key(last - 1, window);
    auto most = S::set(-static_cast<T>(__builtin_inf()));
    for (int64_t j = 0; j < length; j += W) {
      auto x = S::load(row + j) * factor;
      if (j < lowest || j + W > last) {
        const int64_t masked = larger<int64_t>(0, smaller(W, lowest - j));
        const int64_t rest = larger<int64_t>(0, smaller(W, last - j));
        x = S::min(x, S::load(kLimits<T>.value + W - masked));
        x = S::min(x, S::load(kLimits<T>.value + 2 * W - rest));
      }
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

template <class T>
KEYHEADS_INLINE void set_zero(const Mat<T>& m) {
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.cols; ++c) m.row(r)[c] = 0;
  }
}

// Queries whose pattern is held at a time by the backward passes.
inline constexpr int64_t kQueries = 48;

// to (keys, width) += weights^T rows, where row i of the weights is that of query first + i
// (counted from key 0 of `to`) and is zero beyond key first + i and before the query's window: the
// queries before a key and behind its window add nothing.
template <class T>
KEYHEADS_INLINE void add_transposed(const Mat<T>& to, const Mat<const T>& weights, int64_t first,
                                    int64_t window, const Right<T>& rows) {
  for_tiles(to.rows, [&](int64_t key, int64_t count) {
    const int64_t skip = larger<int64_t>(0, key - first);
    const int64_t last = window > 0 ? key + count - 1 + window - first : weights.rows;
    const int64_t depth = smaller(last, weights.rows) - skip;
    if (depth <= 0) return;
    Right<T> right = rows;
    right.data += skip * rows.row;
    tile_rows<T>(count, {weights.row(skip) + key, 1, weights.stride}, right,
                 {to.row(key), to.stride, to.cols, true}, depth);
  });
}

}  // namespace
}  // namespace keyheads::ops
