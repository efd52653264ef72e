#include "base/brgemm.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/transpose.h"
#include "ops/weight_grad.h"

namespace keyheads::ops {
namespace {

// Less than this many operations stay on one thread.
inline constexpr int64_t kSmall = 80000;
// Length of a chain that a tile walks in one go: what it reads of both operands stays in the
// first-level cache. The chain goes on through the output.
inline constexpr int64_t kDepth = 256;

// Leaves as many rows of c = or += a b as it can to libxsmm, in groups of kXsmmRows so that there
// are few different kernels; returns how many. With AVX-512 only: with AVX2 libxsmm was measured to
// be slower by up to 18 % where the depth is 512, and equal elsewhere.
inline constexpr int64_t kXsmmRows = 32;
template <class T>
KEYHEADS_INLINE int64_t xsmm_rows([[maybe_unused]] int64_t rows, [[maybe_unused]] const Left<T>& a,
                                  [[maybe_unused]] const Right<T>& b,
                                  [[maybe_unused]] const Target<T>& c,
                                  [[maybe_unused]] int64_t depth) {
  int64_t done = 0;
#if WITH_LIBXSMM && defined(__AVX512F__)
  if constexpr (sizeof(T) == sizeof(float)) {
    if (b.row != kPanel || c.cols != kPanel || depth == 0) return 0;
    while (done + kXsmmRows <= rows &&
           xsmm_panel_product({c.data + done * c.stride, c.stride, a.data + done * a.row, a.row,
                               b.data, kXsmmRows, depth, c.accumulate})) {
      for (int64_t r = done; c.bias && r < done + kXsmmRows; ++r) {
        for (int64_t j = 0; j < kPanel; ++j) c.data[r * c.stride + j] += c.bias[j];
      }
      done += kXsmmRows;
    }
  }
#endif
  return done;
}

template <class T>
KEYHEADS_INLINE void block_product(int64_t rows, const Left<T>& a, const Right<T>& b,
                                   const Target<T>& c, int64_t depth) {
  const int64_t done = xsmm_rows(rows, a, b, c, depth);
  multiply<T>(rows - done, {a.data + done * a.row, a.row, a.col}, b,
              {c.data + done * c.stride, c.stride, c.cols, c.accumulate, c.bias}, depth);
}

// y (rows, cols) = or += x times the strips, in parallel over blocks of the output.
// right(s): strip s, where the strips of one group of `group` follow each other.
template <class T, class R>
KEYHEADS_INLINE void product(Context& ctx, const Mat<T>& y, const Mat<const T>& x, bool accumulate,
                             const T* bias, int64_t group, const R& right) {
  const int64_t depth = x.cols, width = group * Simd<T>::kWidth;
  const int64_t groups = ceil_div(y.cols, width);
  // rows whose part of x stays in the second-level cache
  const int64_t block = larger<int64_t>(8, 8192 / larger<int64_t>(depth, 64)) * kTileRows;
  const int64_t row_blocks = ceil_div(y.rows, block);
  // groups of a task: about 32 tasks in all, none of them small
  const int64_t cost = 2 * smaller(block, y.rows) * larger<int64_t>(depth, 1) * width;
  const int64_t per_task = smaller(groups, larger(ceil_div(groups * row_blocks, 32),
                                                  ceil_div(kSmall, larger<int64_t>(cost, 1))));
  const int64_t group_blocks = ceil_div(groups, larger<int64_t>(per_task, 1));
  parallel_for(ctx, row_blocks * group_blocks, [&](int64_t task) {
    const int64_t row = task / group_blocks * block, rows = smaller(block, y.rows - row);
    const int64_t first = task % group_blocks * per_task;
    for (int64_t g = first; g < smaller(groups, first + per_task); ++g) {
      const int64_t col = g * width, cols = smaller(width, y.cols - col);
      for (int64_t k = 0; k == 0 || k < depth; k += kDepth) {
        const bool last = k + kDepth >= depth;
        Right<T> b = right(g);
        b.data += k * b.row;
        block_product<T>(rows, {x.row(row) + k, x.stride, 1}, b,
                         {y.row(row) + col, y.stride, cols, accumulate || k > 0,
                          last && bias ? bias + col : nullptr},
                         smaller(kDepth, depth - k));
      }
    }
  });
}

template <class T>
void linear_impl(Context& ctx, const Linear<T>& a) {
  constexpr int64_t W = Simd<T>::kWidth;
  product<T>(ctx, {a.y.data, a.y.rows, a.w.n, a.y.stride}, {a.x.data, a.x.rows, a.w.k, a.x.stride},
             false, a.bias, kPanel / W, [&](int64_t p) {
               return Right<T>{a.w.panel(p), kPanel, W};
             });
}

// W^T is packed first, as strips of W's columns: the product is then that of linear.
template <class T>
void linear_input_grad_impl(Context& ctx, const LinearInputGrad<T>& a) {
  constexpr int64_t W = Simd<T>::kWidth;
  const int64_t n = a.w.n, k = a.w.k;
  if (a.dx.rows == 0) return;
  const int64_t strips = ceil_div(k, W);
  T* packed =
      align_up(static_cast<T*>(op_scratch(static_cast<size_t>(strips * W * n) * sizeof(T) + 128)));
  parallel_for(ctx, n * k < kSmall ? 1 : a.w.count(), [&](int64_t task) {
    const bool all = n * k < kSmall;
    for (int64_t p = task; p < (all ? a.w.count() : task + 1); ++p) {
      const int64_t rows = smaller(kPanel, n - p * kPanel);
      for (int64_t s = 0; s < strips; ++s) {
        const int64_t cols = smaller(W, k - s * W);
        T* to = packed + (s * n + p * kPanel) * W;
        transpose(a.w.panel(p) + s * W * kPanel, kPanel, cols, rows, to, W);
        for (int64_t r = 0; cols < W && r < rows; ++r) {
          for (int64_t c = cols; c < W; ++c) to[r * W + c] = 0;
        }
      }
    }
  });
  const int64_t group = kPanel / W;
  product<T>(ctx, {a.dx.data, a.dx.rows, k, a.dx.stride}, {a.dy.data, a.dy.rows, n, a.dy.stride},
             a.accumulate, nullptr, group, [&](int64_t g) {
               return Right<T>{packed + g * group * W * n, W, W * n};
             });
}

template <class T>
void linear_weight_grad_impl(Context& ctx, const LinearWeightGrad<T>& a) {
  constexpr int64_t W = Simd<T>::kWidth;
  const int64_t rows = a.dw.rows, cols = a.dw.cols;
  // blocks of equal size, whole tiles and strips; several for every thread where that is worth it
  int64_t height = 192, width = 512;
  const auto round = [](int64_t size, int64_t most, int64_t unit) {
    return ceil_div(ceil_div(size, larger<int64_t>(ceil_div(size, most), 1)), unit) * unit;
  };
  while (ceil_div(rows, height) * ceil_div(cols, width) < 6 && height > 12 &&
         a.dy.rows * height * width > 4 * kSmall) {
    (height * 2 > width ? height : width) /= 2;
  }
  height = larger<int64_t>(round(rows, height, kTileRows), kTileRows);
  width = larger<int64_t>(round(cols, width, W), W);
  const int64_t across = ceil_div(cols, width);
  parallel_for(ctx, ceil_div(rows, height) * across, [&](int64_t task) {
    const int64_t n = task / across * height, k = task % across * width;
    const int64_t block_rows = smaller(height, rows - n), block_cols = smaller(width, cols - k);
    WeightGradBlock<T>(block_rows, block_cols)
        .add({a.dw.row(n) + k, block_rows, block_cols, a.dw.stride},
             {a.dy.data + a.n0 + n, a.dy.rows, block_rows, a.dy.stride},
             {a.x.data + a.k0 + k, a.x.rows, block_cols, a.x.stride});
  });
}

template <class T>
void linear_bias_grad_impl(Context& ctx, const LinearBiasGrad<T>& a) {
  for_ranges(ctx, a.n1 - a.n0, a.dy.rows, kPanel, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kPanel) {
      const int64_t cols = smaller(kPanel, end - first);
      double sum[kPanel] = {};
      for (int64_t m = 0; m < a.dy.rows; ++m) {
        const T* dy = a.dy.row(m) + a.n0 + first;
        for (int64_t j = 0; j < cols; ++j) sum[j] += dy[j];
      }
      for (int64_t j = 0; j < cols; ++j) a.db[first + j] += static_cast<T>(sum[j]);
    }
  });
}

// Four chains at a time: one alone would wait for itself at every step.
template <class T>
void selected_linear_impl(Context& ctx, const SelectedLinear<T>& a) {
  const int64_t ids = a.y.cols, depth = a.w.k;
  for_ranges(ctx, a.y.rows * ids, 4 * depth, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      const T* x[4];
      const T* w[4];
      T sum[4] = {};
      for (int64_t j = 0; j < 4; ++j) {
        const int64_t entry = smaller(i + j, end - 1);
        x[j] = a.x.row(entry / ids);
        w[j] = &a.w.at(a.ids[entry], 0);
      }
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < 4; ++j) sum[j] = mul_add(x[j][k], w[j][k * kPanel], sum[j]);
      }
      for (int64_t j = 0; j < smaller<int64_t>(4, end - i); ++j) {
        a.y.row((i + j) / ids)[(i + j) % ids] = sum[j];
      }
    }
  });
}

template <class T>
void pack_impl(Context& ctx, const Pack<T>& a) {
  const int64_t k = a.panels.k;
  parallel_for(ctx, a.panels.count(), [&](int64_t p) {
    T* panel = a.panels.panel(p);
    const int64_t rows = smaller(kPanel, a.panels.n - p * kPanel);
    transpose(a.matrix.row(p * kPanel), a.matrix.stride, rows, k, panel, kPanel);
    for (int64_t c = 0; rows < kPanel && c < k; ++c) {
      for (int64_t r = rows; r < kPanel; ++r) panel[c * kPanel + r] = 0;
    }
  });
}

template <class T>
void unpack_impl(Context& ctx, const Unpack<T>& a) {
  parallel_for(ctx, a.panels.count(), [&](int64_t p) {
    const int64_t rows = smaller(kPanel, a.panels.n - p * kPanel);
    transpose(a.panels.panel(p), kPanel, a.panels.k, rows, a.matrix.row(p * kPanel),
              a.matrix.stride);
  });
}

}  // namespace

DEFINE_OP(linear, Linear)
DEFINE_OP(linear_input_grad, LinearInputGrad)
DEFINE_OP(linear_weight_grad, LinearWeightGrad)
DEFINE_OP(linear_bias_grad, LinearBiasGrad)
DEFINE_OP(selected_linear, SelectedLinear)
DEFINE_OP(pack, Pack)
DEFINE_OP(unpack, Unpack)

}  // namespace keyheads::ops
