#include "ops/along.h"
#include "ops/gemm.h"
#include "ops/transpose.h"

namespace keyheads::ops {
namespace {

// Values of a task: with their part of a row they stay in the second-level cache.
inline constexpr int64_t kValues = 48;
// Length of a chain that is walked in one go.
inline constexpr int64_t kDepth = 256;
// With fewer heads than this a product would be mostly padding.
inline constexpr int64_t kFewHeads = 3;

template <class T>
KEYHEADS_INLINE T dot(const T* a, const T* b, int64_t count) {
  using S = Simd<T>;
  constexpr int64_t W = S::kWidth;
  typename S::V sum[4] = {S::zero(), S::zero(), S::zero(), S::zero()};
  int64_t c = 0;
  for (; c + 4 * W <= count; c += 4 * W) {
#pragma GCC unroll 4
    for (int64_t s = 0; s < 4; ++s) {
      sum[s] = S::fma(S::load(a + c + s * W), S::load(b + c + s * W), sum[s]);
    }
  }
  for (; c + W <= count; c += W) sum[0] = S::fma(S::load(a + c), S::load(b + c), sum[0]);
  if (c < count) {
    sum[1] = S::fma(S::load_first(a + c, count - c), S::load_first(b + c, count - c), sum[1]);
  }
  return (S::sum(sum[0]) + S::sum(sum[1])) + (S::sum(sum[2]) + S::sum(sum[3]));
}

// What one row adds to sums[v * heads + h], for `count` values `stride` apart.
template <class T>
KEYHEADS_INLINE void add_dots(const T* g, int64_t heads, const T* values, int64_t stride,
                              int64_t count, int64_t width, double* sums) {
  for (int64_t v = 0; v < count; ++v) {
    for (int64_t h = 0; h < heads; ++h) {
      sums[v * heads + h] += dot(g + h * width, values + v * stride, width);
    }
  }
}

// The same as a product of matrices; `packed` and `part` are scratch.
template <class T>
KEYHEADS_INLINE void add_product(const T* g, int64_t heads, const T* values, int64_t stride,
                                 int64_t count, int64_t width, double* sums, T* packed, T* part) {
  constexpr int64_t W = Simd<T>::kWidth;
  for (int64_t k = 0; k < width; k += kDepth) {
    const int64_t depth = smaller(kDepth, width - k);
    for (int64_t h = 0; h < heads; h += W) {
      const int64_t rows = smaller(W, heads - h);
      T* strip = packed + h / W * kDepth * W;
      transpose(g + h * width + k, width, rows, depth, strip, W);
      for (int64_t c = 0; rows < W && c < depth; ++c) {
        for (int64_t r = rows; r < W; ++r) strip[c * W + r] = 0;
      }
    }
    multiply<T>(count, {values + k, stride, 1}, {packed, W, kDepth * W},
                Target<T>{part, heads, heads, k > 0}, depth);
  }
  for (int64_t i = 0; i < count * heads; ++i) sums[i] += part[i];
}

template <class T>
void along_impl(Context& ctx, const Along<T>& a) {
  constexpr int64_t W = Simd<T>::kWidth;
  const int64_t heads = a.heads, width = heads == 0 ? 0 : a.g.cols / heads;
  const int64_t stride = a.g.rows * a.values.stride, blocks = ceil_div(a.count, kValues);
  const int64_t sums_size = kValues * heads;
  const int64_t packed_size = ceil_div(heads, W) * kDepth * W;
  parallel_for(ctx, a.y.rows * blocks, [&](int64_t task) {
    const int64_t item = task / blocks, first = task % blocks * kValues;
    const int64_t count = smaller(kValues, a.count - first);
    auto* sums = static_cast<double*>(
        thread_scratch(static_cast<size_t>(sums_size) * sizeof(double) +
                       static_cast<size_t>(packed_size + sums_size) * sizeof(T)));
    T* packed = reinterpret_cast<T*>(sums + sums_size);
    for (int64_t i = 0; i < count * heads; ++i) sums[i] = 0;
    for (int64_t r = a.starts[item]; r < a.starts[item + 1]; ++r) {
      const T* values = a.values.row(first * a.g.rows + r);
      if (heads < kFewHeads) {
        add_dots(a.g.row(r), heads, values, stride, count, width, sums);
      } else if (width > 0) {
        add_product(a.g.row(r), heads, values, stride, count, width, sums, packed,
                    packed + packed_size);
      }
    }
    for (int64_t h = 0; h < heads; ++h) {
      T* y = a.y.row(item) + h * a.count + first;
      for (int64_t v = 0; v < count; ++v) y[v] = static_cast<T>(sums[v * heads + h]);
    }
  });
}

}  // namespace

DEFINE_OP(along, Along)

}  // namespace keyheads::ops
