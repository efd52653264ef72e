#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// y[i, j, c] = x[i, j, c], where block (i, j) begins at i * row + j * block numbers. A step of x
// may be 0: the same block everywhere. Blocks of y do not overlap each other, nor x.
template <class T>
struct CopyBlocks {
  T* y;                         // (rows, blocks, width)  =
  const T* x;                   // (rows, blocks, width)
  int64_t rows, blocks, width;  // I, J, C
  int64_t y_row, y_block;       // steps of y
  int64_t x_row, x_block;       // steps of x
};
// y[i, c] = x[i, 0, c] + x[i, 1, c] + ..., ascending; blocks of x lie side by side
template <class T>
struct SumBlocks {
  Mat<T> y;        // (I, C)  =
  Mat<const T> x;  // (I, J * C)
};

DECLARE_OP(copy_blocks, CopyBlocks)
DECLARE_OP(sum_blocks, SumBlocks)

// y = x
template <class T>
KEYHEADS_INLINE void copy_rows(Context& ctx, Mat<T> y, Mat<const T> x) {
  copy_blocks(ctx, CopyBlocks<T>{.y = y.data,
                                 .x = x.data,
                                 .rows = x.rows,
                                 .blocks = 1,
                                 .width = x.cols,
                                 .y_row = y.stride,
                                 .y_block = 0,
                                 .x_row = x.stride,
                                 .x_block = 0});
}

}  // namespace keyheads::ops
