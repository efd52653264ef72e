#include "base/brgemm.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/transpose.h"
#include "ops/weight_grad.h"

namespace keyheads::ops {
namespace {

// Less than this many operations stay on one thread.
inline constexpr int64_t kSmall = 80000;
// Length of a chain that a tile walks in one go, 2 kB of a row: what it reads of the left operand
// stays in the first-level cache. The chain goes on through the output, which costs more the
// shorter this is.
template <class L>
inline constexpr int64_t kDepth = 2048 / static_cast<int64_t>(sizeof(L)) * kPerElement<L>;
// Where a block of pairs is widened first, which has to fit beside it.
inline constexpr int64_t kWidenedDepth = 256;

template <class L, class E>
constexpr int64_t chain_depth() {
  return kPerElement < E >> kPerElement<L> ? kWidenedDepth : kDepth<L>;
}

// Leaves as many rows of c = or += a b as it can to libxsmm, in groups of kXsmmRows so that there
// are few different kernels; returns how many. With AVX-512 only: with AVX2 libxsmm was measured to
// be slower by up to 18 % where the depth is 512, and equal elsewhere.
inline constexpr int64_t kXsmmRows = 32;
template <class T, class L, class E>
KEYHEADS_INLINE int64_t xsmm_rows([[maybe_unused]] int64_t rows, [[maybe_unused]] const Left<L>& a,
                                  [[maybe_unused]] const Right<E>& b,
                                  [[maybe_unused]] const Target<T>& c,
                                  [[maybe_unused]] int64_t depth) {
  int64_t done = 0;
#if WITH_LIBXSMM && defined(__AVX512F__)
  if constexpr (sizeof(T) == sizeof(float) && kPerElement<E> == kPerElement<L>) {
    if (b.row != kPanel || c.cols != kPanel || depth == 0) return 0;
    while (done + kXsmmRows <= rows &&
           xsmm_panel_product(PanelProduct<E>{c.data + done * c.stride, c.stride,
                                              a.data + done * a.row, a.row, b.data, kXsmmRows,
                                              ceil_div(depth, kPerElement<E>), c.accumulate})) {
      for (int64_t r = done; c.bias && r < done + kXsmmRows; ++r) {
        for (int64_t j = 0; j < kPanel; ++j) c.data[r * c.stride + j] += c.bias[j];
      }
      done += kXsmmRows;
    }
  }
#endif
  return done;
}

// From so many rows on it pays to widen a block of pairs once, for all tiles.
inline constexpr int64_t kWidenRows = 24;

template <class T, class L, class E>
KEYHEADS_INLINE void block_product(int64_t rows, const Left<L>& a, const Right<E>& b,
                                   const Target<T>& c, int64_t depth) {
  if constexpr (kPerElement < E >> kPerElement<L>) {
    if (rows >= kWidenRows) {
      auto* wide = static_cast<T*>(thread_scratch((kWidenedDepth + 1) * kPanel * sizeof(T)));
      for (int64_t k = 0; k < depth; k += 2) {
        const E* from = b.data + k / 2 * kPanel;
        T* to = wide + k * kPanel;
        for (int64_t j = 0; j < kPanel; ++j) to[j] = from[j].first();
        for (int64_t j = 0; j < kPanel; ++j) to[kPanel + j] = from[j].second();
      }
      return block_product(rows, a, Right<T>{wide, kPanel, Simd<T>::kWidth}, c, depth);
    }
  }
  const int64_t done = xsmm_rows<T, L, E>(rows, a, b, c, depth);
  multiply<T, L, E>(rows - done, {a.data + done * a.row, a.row, a.col}, b,
                    {c.data + done * c.stride, c.stride, c.cols, c.accumulate, c.bias}, depth);
}

// Of product's blocks of rows.
inline constexpr int64_t kBlockUnit = 2 * kXsmmRows, kBlockLeast = 2, kBlockBytes = 384 << 10,
                         kTasks = 64;

// y (rows, cols) = or += x times the strips, over `depth` of k, in parallel over blocks of the
// output. right(s): strip s, where the strips of one group of `group` follow each other.
template <class T, class L, class R>
KEYHEADS_INLINE void product(Context& ctx, const Mat<T>& y, const Mat<const L>& x, int64_t depth,
                             bool accumulate, const T* bias, int64_t group, const R& right) {
  const int64_t width = group * Simd<T>::kWidth;
  const int64_t groups = ceil_div(y.cols, width);
  // Rows whose part of x stays in the second-level cache. A panel is read once for all of them,
  // from memory if there are many panels: so not fewer than it takes to hide that.
  const int64_t row_bytes =
      larger<int64_t>(depth, 64) / kPerElement<L> * static_cast<int64_t>(sizeof(L));
  int64_t block = larger(kBlockBytes / row_bytes / kBlockUnit, kBlockLeast) * kBlockUnit;
  // many threads share out smaller ones
  while (block > kBlockUnit && ceil_div(y.rows, block) * groups < 8 * thread_count(ctx)) {
    block = ceil_div(block / kBlockUnit, 2) * kBlockUnit;
  }
  const int64_t row_blocks = ceil_div(y.rows, block);
  constexpr int64_t step = chain_depth<L, typename decltype(right(0))::Element>();
  // groups of a task: about 64 tasks in all, none of them small
  const int64_t cost = 2 * smaller(block, y.rows) * larger<int64_t>(depth, 1) * width;
  const int64_t per_task = smaller(groups, larger(ceil_div(groups * row_blocks, kTasks),
                                                  ceil_div(kSmall, larger<int64_t>(cost, 1))));
  const int64_t group_blocks = ceil_div(groups, larger<int64_t>(per_task, 1));
  parallel_for(ctx, row_blocks * group_blocks, [&](int64_t task) {
    const int64_t row = task / group_blocks * block, rows = smaller(block, y.rows - row);
    const int64_t first = task % group_blocks * per_task;
    for (int64_t g = first; g < smaller(groups, first + per_task); ++g) {
      const int64_t col = g * width, cols = smaller(width, y.cols - col);
      for (int64_t k = 0; k == 0 || k < depth; k += step) {
        const bool last = k + step >= depth;
        block_product(rows, Left<L>{x.row(row) + k / kPerElement<L>, x.stride, 1}, right(g).from(k),
                      Target<T>{y.row(row) + col, y.stride, cols, accumulate || k > 0,
                                last && bias ? bias + col : nullptr},
                      smaller(step, depth - k));
      }
    }
  });
}

#ifdef __AVX512BF16__
template <class T>
KEYHEADS_INLINE Bf16Pair rounded_pair(const T* x, int64_t count) {
  return {round_to_bf16(static_cast<float>(x[0])) |
          (count > 1 ? round_to_bf16(static_cast<float>(x[1])) << 16 : 0)};
}

// x rounded to pairs, with a zero beside a last one without neighbour
template <class T>
KEYHEADS_INLINE Mat<const Bf16Pair> rounded(Context& ctx, const Mat<const T>& x, Bf16Pair* to) {
  const int64_t pairs = ceil_div(x.cols, 2);
  for_rows(ctx, x.rows, 2 * x.cols, [&](int64_t r) {
    const T* from = x.row(r);
    Bf16Pair* row = to + r * pairs;
    for (int64_t p = 0; p < x.cols / 2; ++p) row[p] = rounded_pair(from + 2 * p, 2);
    if (x.cols % 2) row[pairs - 1] = rounded_pair(from + x.cols - 1, 1);
  });
  return {to, x.rows, pairs, pairs};
}
#endif

template <class T>
void linear_impl(Context& ctx, const Linear<T>& a) {
  constexpr int64_t W = Simd<T>::kWidth;
  const Mat<T> y{a.y.data, a.y.rows, a.w.n, a.y.stride};
  const Mat<const T> x{a.x.data, a.x.rows, a.w.k, a.x.stride};
  a.w.visit([&]<class E>(const Panels<E>& w) {
    const auto right = [&](int64_t p) { return Right<E>{w.panel(p), kPanel, W}; };
#ifdef __AVX512BF16__
    if constexpr (kPerElement < E >> 1) {
      if (a.pairs) {
        const Mat<const Bf16Pair> given{a.pairs, x.rows, a.w.k / 2, a.w.k / 2};
        return product<T, Bf16Pair>(ctx, y, given, a.w.k, false, a.bias, kPanel / W, right);
      }
      const int64_t pairs = x.rows * ceil_div(x.cols, 2);
      auto* to = static_cast<Bf16Pair*>(op_scratch(static_cast<size_t>(pairs) * sizeof(Bf16Pair)));
      return product<T, Bf16Pair>(ctx, y, rounded(ctx, x, to), a.w.k, false, a.bias, kPanel / W,
                                  right);
    }
#endif
    product<T, T>(ctx, y, x, a.w.k, false, a.bias, kPanel / W, right);
  });
}

// Columns k to k + cols of a panel, as T: to[c * kPanel + r]. Those in full stay where they are.
template <class T>
KEYHEADS_INLINE const T* widened(const T* panel, int64_t k, int64_t, T*) {
  return panel + k * kPanel;
}
template <class T>
KEYHEADS_INLINE const T* widened(const Bf16Pair* panel, int64_t k, int64_t cols, T* to) {
  for (int64_t c = 0; c < cols; ++c) {
    const Bf16Pair* from = panel + (k + c) / 2 * kPanel;
    T* column = to + c * kPanel;
    if ((k + c) % 2 == 0) {
      for (int64_t r = 0; r < kPanel; ++r) column[r] = from[r].first();
    } else {
      for (int64_t r = 0; r < kPanel; ++r) column[r] = from[r].second();
    }
  }
  return to;
}

// What of W^T is packed at once; the chains go on from one part to the next.
inline constexpr int64_t kPackedBytes = 16 << 20;

// Strips of a panel's columns, as W^T has them: row r of the strip at column k at
// to[r * W + (k % W)], for `rows` of them; strips are `strip` elements apart.
template <class T, class E>
KEYHEADS_INLINE void pack_transposed(const E* panel, int64_t k, int64_t rows, int64_t strip,
                                     T* to) {
  constexpr int64_t W = Simd<T>::kWidth;
  for (int64_t first = 0; first < k; first += W, to += strip) {
    const int64_t cols = smaller(W, k - first);
    T columns[W * kPanel];
    transpose(widened(panel, first, cols, columns), kPanel, cols, rows, to, W);
    for (int64_t r = 0; cols < W && r < rows; ++r) {
      for (int64_t c = cols; c < W; ++c) to[r * W + c] = 0;
    }
  }
}
#ifdef __AVX512BF16__
// In pairs of rows: the first numbers of two neighbours make one column, the second ones the next.
KEYHEADS_INLINE void pack_transposed(const Bf16Pair* panel, int64_t k, int64_t rows, int64_t strip,
                                     Bf16Pair* to) {
  constexpr int64_t W = Simd<float>::kWidth;
  for (int64_t first = 0; first < k; first += W, to += strip) {
    for (int64_t c = 0; c < W; c += 2) {
      const bool in = first + c < k;
      const Bf16Pair* from = panel + (first + c) / 2 * kPanel;
      for (int64_t r = 0; r < rows; r += 2) {
        // beyond the last row and the last column a panel is zero
        const uint32_t one = in ? from[r].bits : 0, two = in ? from[r + 1].bits : 0;
        to[r / 2 * W + c].bits = (one & 0xffffu) | two << 16;
        to[r / 2 * W + c + 1].bits = one >> 16 | (two & 0xffff0000u);
      }
    }
  }
}
#endif

// What linear_input_grad multiplies with W^T, which is packed as P: dy as it is, or in pairs.
template <class T>
KEYHEADS_INLINE Mat<const T> left_of(Context&, const Mat<const T>& dy, T*) {
  return dy;
}
#ifdef __AVX512BF16__
KEYHEADS_INLINE Mat<const Bf16Pair> left_of(Context& ctx, const Mat<const float>& dy,
                                            Bf16Pair* to) {
  return rounded(ctx, dy, to);
}
#endif

// W^T is packed first, as strips of W's columns: the product is then that of linear.
template <class P, class T, class E>
KEYHEADS_INLINE void input_grad(Context& ctx, const LinearInputGrad<T>& a, const Panels<E>& w) {
  constexpr int64_t W = Simd<T>::kWidth, kEach = kPerElement<P>;
  const int64_t k = a.w.k;
  const int64_t strips = ceil_div(k, W), all = ceil_div(a.w.n, kPanel);
  const int64_t panel_size = strips * W * kPanel / kEach;
  const int64_t part = smaller(
      all, larger<int64_t>(1, kPackedBytes / (panel_size * static_cast<int64_t>(sizeof(P)))));
  const int64_t pairs = kEach == 1 ? 0 : a.dy.rows * ceil_div(a.w.n, kEach);
  P* left = align_up(static_cast<P*>(
      op_scratch(static_cast<size_t>(part * panel_size + pairs) * sizeof(P) + 256)));
  P* packed = align_up(left + pairs);
  const Mat<const P> dy = left_of(ctx, {a.dy.data, a.dy.rows, a.w.n, a.dy.stride}, left);
  for (int64_t first = 0; first < all; first += part) {
    const int64_t panels = smaller(part, all - first);
    const int64_t n0 = first * kPanel, n = smaller(panels * kPanel, a.w.n - n0);
    const int64_t strip = W * ceil_div(n, kEach);
    const bool alone = n * k < kSmall;
    parallel_for(ctx, alone ? 1 : panels, [&](int64_t task) {
      for (int64_t p = task; p < (alone ? panels : task + 1); ++p) {
        const int64_t rows = smaller(kPanel, n - p * kPanel);
        pack_transposed(w.panel(first + p), k, rows, strip, packed + p * kPanel * W / kEach);
      }
    });
    const int64_t group = kPanel / W;
    product<T, P>(ctx, {a.dx.data, a.dx.rows, k, a.dx.stride},
                  {dy.data + n0 / kEach, dy.rows, ceil_div(n, kEach), dy.stride}, n,
                  a.accumulate || first > 0, nullptr, group, [&](int64_t g) {
                    return Right<P>{packed + g * group * strip, W, strip};
                  });
  }
}

template <class T>
void linear_input_grad_impl(Context& ctx, const LinearInputGrad<T>& a) {
  if (a.dx.rows == 0) return;
  a.w.visit([&]<class E>(const Panels<E>& w) {
#ifdef __AVX512BF16__
    if constexpr (kPerElement < E >> 1) return input_grad<Bf16Pair>(ctx, a, w);
#endif
    input_grad<T>(ctx, a, w);
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
KEYHEADS_INLINE void four_chains(const T* const (&x)[4], const T* const (&w)[4], int64_t depth,
                                 T (&sum)[4]) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t j = 0; j < 4; ++j) sum[j] = mul_add(x[j][k], w[j][k * kPanel], sum[j]);
  }
}
template <class T>
KEYHEADS_INLINE void four_chains(const T* const (&x)[4], const Bf16Pair* const (&w)[4],
                                 int64_t depth, T (&sum)[4]) {
#ifdef __AVX512BF16__
  // one chain a lane, with the instruction of linear
  __m128 sums = _mm_setzero_ps();
  for (int64_t k = 0; k < depth; k += 2) {
    Bf16Pair left[4], right[4];
    for (int64_t j = 0; j < 4; ++j) {
      left[j] = rounded_pair(x[j] + k, depth - k);
      right[j] = w[j][k / 2 * kPanel];
    }
    const auto pairs = [](const Bf16Pair* p) {
      return reinterpret_cast<__m128bh>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    };
    sums = _mm_dpbf16_ps(sums, pairs(left), pairs(right));
  }
  _mm_storeu_ps(sum, sums);
#else
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t j = 0; j < 4; ++j) {
      const Bf16Pair pair = w[j][k / 2 * kPanel];
      sum[j] = mul_add(x[j][k], k % 2 ? pair.second() : pair.first(), sum[j]);
    }
  }
#endif
}

template <class T>
void selected_linear_impl(Context& ctx, const SelectedLinear<T>& a) {
  const int64_t ids = a.y.cols, depth = a.w.k;
  a.w.visit([&]<class E>(const Panels<E>& panels) {
    for_ranges(ctx, a.y.rows * ids, 4 * depth, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += 4) {
        const T* x[4];
        const E* w[4];
        T sum[4] = {};
        for (int64_t j = 0; j < 4; ++j) {
          const int64_t entry = smaller(i + j, end - 1);
          x[j] = a.x.row(entry / ids);
          w[j] = &panels.at(a.ids[entry], 0);
        }
        four_chains(x, w, depth, sum);
        for (int64_t j = 0; j < smaller<int64_t>(4, end - i); ++j) {
          T& y = a.y.row((i + j) / ids)[(i + j) % ids];
          y = a.bias ? sum[j] + a.bias[a.ids[i + j]] : sum[j];
        }
      }
    });
  });
}

template <class T>
KEYHEADS_INLINE void pack_panel(const Mat<const T>& rows, T* panel) {
  transpose(rows.data, rows.stride, rows.rows, rows.cols, panel, kPanel);
  for (int64_t c = 0; rows.rows < kPanel && c < rows.cols; ++c) {
    for (int64_t r = rows.rows; r < kPanel; ++r) panel[c * kPanel + r] = 0;
  }
}
template <class T>
KEYHEADS_INLINE void pack_panel(const Mat<const T>& rows, Bf16Pair* panel) {
  for (int64_t c = 0; c < rows.cols; c += 2, panel += kPanel) {
    for (int64_t r = 0; r < kPanel; ++r) {
      const bool in = r < rows.rows;
      const uint32_t first = in ? round_to_bf16(rows.row(r)[c]) : 0;
      const uint32_t second = in && c + 1 < rows.cols ? round_to_bf16(rows.row(r)[c + 1]) : 0;
      panel[r].bits = first | second << 16;
    }
  }
}

template <class T>
KEYHEADS_INLINE void unpack_panel(const T* panel, const Mat<T>& rows) {
  transpose(panel, kPanel, rows.cols, rows.rows, rows.data, rows.stride);
}
template <class T>
KEYHEADS_INLINE void unpack_panel(const Bf16Pair* panel, const Mat<T>& rows) {
  for (int64_t r = 0; r < rows.rows; ++r) {
    for (int64_t c = 0; c < rows.cols; ++c) {
      const Bf16Pair pair = panel[c / 2 * kPanel + r];
      rows.row(r)[c] = c % 2 ? pair.second() : pair.first();
    }
  }
}

template <class T>
void pack_impl(Context& ctx, const Pack<T>& a) {
  a.w.visit([&](const auto& w) {
    parallel_for(ctx, w.count(), [&](int64_t p) {
      const int64_t rows = smaller(kPanel, w.n - p * kPanel);
      pack_panel<T>({a.matrix.row(p * kPanel), rows, w.k, a.matrix.stride}, w.panel(p));
    });
  });
}

template <class T>
void unpack_impl(Context& ctx, const Unpack<T>& a) {
  a.w.visit([&](const auto& w) {
    parallel_for(ctx, w.count(), [&](int64_t p) {
      const int64_t rows = smaller(kPanel, w.n - p * kPanel);
      unpack_panel<T>(w.panel(p), {a.matrix.row(p * kPanel), rows, w.k, a.matrix.stride});
    });
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
