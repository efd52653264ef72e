#include "ops/blocks.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
KEYHEADS_INLINE void copy(T* y, const T* x, int64_t n) {
  __builtin_memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
}

template <class T>
void copy_blocks_impl(Context& ctx, const CopyBlocks<T>& a) {
  if (a.blocks == 1 && a.y_row == a.width && a.x_row == a.width) {
    return for_ranges(ctx, a.rows * a.width, 1, 16, [&](int64_t begin, int64_t end) {
      copy(a.y + begin, a.x + begin, end - begin);
    });
  }
  for_rows(ctx, a.rows, a.blocks * a.width, [&](int64_t i) {
    for (int64_t j = 0; j < a.blocks; ++j) {
      copy(a.y + i * a.y_row + j * a.y_block, a.x + i * a.x_row + j * a.x_block, a.width);
    }
  });
}

template <class T>
void sum_blocks_impl(Context& ctx, const SumBlocks<T>& a) {
  const int64_t width = a.y.cols, blocks = width == 0 ? 0 : a.x.cols / width;
  for_rows(ctx, a.y.rows, a.x.cols, [&](int64_t i) {
    T* y = a.y.row(i);
    const T* x = a.x.row(i);
    copy(y, x, width);
    for (int64_t j = 1; j < blocks; ++j) {
      for (int64_t c = 0; c < width; ++c) y[c] += x[j * width + c];
    }
  });
}

}  // namespace

DEFINE_OP(copy_blocks, CopyBlocks)
DEFINE_OP(sum_blocks, SumBlocks)

}  // namespace keyheads::ops
