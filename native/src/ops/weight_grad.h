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
  static constexpr int64_t kDepth = 256;

  WeightGradBlock(int64_t rows, int64_t cols)
      : tiles_(ceil_div(rows, kTileRows)), strips_(ceil_div(cols, W)) {
    const int64_t left = (tiles_ * kTileRows + W) * kDepth, right = strips_ * W * kDepth;
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
      const Right<T> right{right_, W, W * kDepth};
      for (int64_t t = 0; t < tiles_; ++t) {
        const int64_t rows = smaller<int64_t>(kTileRows, dw.rows - t * kTileRows);
        tile_rows<T>(rows, {left_ + t * kTileRows * kDepth, 1, kTileRows}, right,
                     {dw.row(t * kTileRows), dw.stride, dw.cols, true, nullptr}, depth);
      }
    }
  }

 private:
  static constexpr int64_t W = Simd<T>::kWidth;

  // [tiles][depth][6]. Whole vectors are written; what is beyond the 6 is overwritten by the next.
  KEYHEADS_INLINE void pack_left(const Mat<const T>& dy, int64_t m, int64_t depth) const {
    for (int64_t t = 0; t < tiles_; ++t) {
      T* to = left_ + t * kTileRows * kDepth;
      const T* from = dy.row(m) + t * kTileRows;
      const int64_t cols = smaller<int64_t>(kTileRows, dy.cols - t * kTileRows);
      for (int64_t i = 0; i < depth; ++i) {
        for (int64_t j = 0; j < cols; ++j) to[i * kTileRows + j] = from[i * dy.stride + j];
      }
    }
  }

  // [strips][depth][W], zeros beyond the last column
  KEYHEADS_INLINE void pack_right(const Mat<const T>& x, int64_t m, int64_t depth) const {
    using S = Simd<T>;
    for (int64_t s = 0; s < strips_; ++s) {
      T* to = right_ + s * W * kDepth;
      const T* from = x.row(m) + s * W;
      const int64_t cols = x.cols - s * W;
      for (int64_t i = 0; i < depth; ++i) {
        const T* row = from + i * x.stride;
        S::store(to + i * W, cols >= W ? S::load(row) : S::load_first(row, cols));
      }
    }
  }

  int64_t tiles_, strips_;
  T* left_;
  T* right_;
};

}  // namespace
}  // namespace keyheads::ops
