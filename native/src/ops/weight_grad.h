// The kernel of linear_weight_grad: dw [+]= dy^T x for a block of dw's rows and columns.
// Both operands are packed, kDepth rows of the batch at a time, so that the tiles read them in
// order; the chain over the batch goes on through dw. A leaf header.
#pragma once
#include "ops/gemm.h"

namespace keyheads::ops {
namespace {

template <class T>
class WeightGradBlock {
 public:
  WeightGradBlock(int64_t rows, int64_t cols)
      : tiles_(ceil_div(rows, kTileRows)), strips_(ceil_div(cols, W)) {
    const int64_t left = tiles_ * kTile + W, right = strips_ * kStrip;
    left_ = align_up(
        static_cast<T*>(thread_scratch(static_cast<size_t>(left + right) * sizeof(T) + 128)));
    right_ = align_up(left_ + left);
  }

  // dy and x begin at the block's first column
  void add(const Mat<T>& dw, const Mat<const T>& dy, const Mat<const T>& x) const {
    for (int64_t m = 0; m < dy.rows; m += kDepth) {
      const int64_t depth = smaller(kDepth, dy.rows - m);
      pack_left(dy, m, depth);
      pack_right(x, m, depth);
      for (int64_t t = 0; t < tiles_; ++t) {
        const int64_t row = t * kTileRows;
        tile_rows<T>(smaller<int64_t>(kTileRows, dw.rows - row), {left_ + t * kTile, 1, kTileRows},
                     {right_, W, kStrip}, {dw.row(row), dw.stride, dw.cols, true}, depth);
      }
    }
  }

 private:
  static constexpr int64_t W = Simd<T>::kWidth;
  static constexpr int64_t kDepth = 256;
  // A cache line more than the data: at a power of two, rows of all strips would fall on one place
  // in the cache.
  static constexpr int64_t kTile = kDepth * kTileRows + 64 / sizeof(T);
  static constexpr int64_t kStrip = kDepth * W + 64 / sizeof(T);

  // The processor does not foresee jumps from row to row. Addresses beyond the last row are
  // harmless.
  static constexpr int64_t kAhead = 8;
  KEYHEADS_INLINE static void fetch_ahead(const T* row, int64_t cols) {
    for (int64_t c = 0; c < cols; c += 64 / sizeof(T)) __builtin_prefetch(row + c);
  }

  // [tiles][depth][6]. Whole vectors are written: the next row overwrites what is too much.
  KEYHEADS_INLINE void pack_left(const Mat<const T>& dy, int64_t m, int64_t depth) const {
    using S = Simd<T>;
    constexpr int64_t kReach = ceil_div(kTileRows, W) * W;
    for (int64_t i = 0; i < depth; ++i) {
      const T* from = dy.row(m + i);
      fetch_ahead(from + kAhead * dy.stride, dy.cols);
      T* to = left_ + i * kTileRows;
      int64_t t = 0;
      for (; t * kTileRows + kReach <= dy.cols; ++t) {
        for (int64_t j = 0; j < kReach; j += W) {
          S::store(to + t * kTile + j, S::load(from + t * kTileRows + j));
        }
      }
      for (int64_t j = t * kTileRows; j < dy.cols; ++j) {
        to[j / kTileRows * kTile + j % kTileRows] = from[j];
      }
    }
  }

  // [strips][depth][W], zeros beyond the last column
  KEYHEADS_INLINE void pack_right(const Mat<const T>& x, int64_t m, int64_t depth) const {
    using S = Simd<T>;
    const int64_t whole = x.cols / W, rest = x.cols % W;
    for (int64_t i = 0; i < depth; ++i) {
      const T* from = x.row(m + i);
      fetch_ahead(from + kAhead * x.stride, x.cols);
      T* to = right_ + i * W;
      for (int64_t s = 0; s < whole; ++s) S::store(to + s * kStrip, S::load(from + s * W));
      if (rest) S::store(to + whole * kStrip, S::load_first(from + whole * W, rest));
    }
  }

  int64_t tiles_, strips_;
  T* left_;
  T* right_;
};

}  // namespace
}  // namespace keyheads::ops
