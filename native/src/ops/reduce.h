// Sums and maxima of a row. The order of a sum depends on an entry's index and nothing else, and
// zeros at the end change no bit: a longer row that ends in zeros has the same sum. A leaf header.
#pragma once
#include "ops/rows.h"
#include "ops/simd.h"

namespace keyheads::ops {
namespace {

template <int kSums>
struct Sums {
  double value[kSums];
};

// Sums in double over a row: term(sum, load) adds to the kSums vectors sum[...] what it computes
// from load(row), a vector of float or double rows' next elements. Beyond n, load gives `pad`.
template <int kSums, class Term>
KEYHEADS_INLINE Sums<kSums> double_sums(int64_t n, double pad, const Term& term) {
  using S = Simd<double>;
  constexpr int64_t W = S::kWidth;
  typename S::V sum[2][kSums];
  for (auto& half : sum) {
    for (auto& s : half) s = S::zero();
  }
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    term(sum[0], [&](const auto* row) { return S::load(row + i); });
    term(sum[1], [&](const auto* row) { return S::load(row + i + W); });
  }
  for (int part = 0; i < n; i += W, ++part) {
    const int64_t rest = smaller(W, n - i);
    term(sum[part], [&](const auto* row) {
      double lane[W];
      for (int64_t j = 0; j < W; ++j) lane[j] = j < rest ? static_cast<double>(row[i + j]) : pad;
      return S::load(lane);
    });
  }
  Sums<kSums> total;
  for (int s = 0; s < kSums; ++s) total.value[s] = S::sum(sum[0][s] + sum[1][s]);
  return total;
}

template <class T>
KEYHEADS_INLINE T row_max(const T* x, int64_t n) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  typename S::V top = S::set(x[0]);
  int64_t i = 0;
  for (; i + W <= n; i += W) top = S::max(top, S::load(x + i));
  T best = S::max(top);
  for (; i < n; ++i) best = larger(best, x[i]);
  return best;
}

template <class T>
KEYHEADS_INLINE T row_sum(const T* x, int64_t n) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  typename S::V sum = S::zero();
  int64_t i = 0;
  for (; i + W <= n; i += W) sum = sum + S::load(x + i);
  if (i < n) sum = sum + S::load_first(x + i, n - i);
  return S::sum(sum);
}

template <class T>
KEYHEADS_INLINE T row_dot(const T* x, const T* y, int64_t n) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  typename S::V sum = S::zero();
  int64_t i = 0;
  for (; i + W <= n; i += W) sum = S::fma(S::load(x + i), S::load(y + i), sum);
  if (i < n) sum = S::fma(S::load_first(x + i, n - i), S::load_first(y + i, n - i), sum);
  return S::sum(sum);
}

}  // namespace
}  // namespace keyheads::ops
