#include "cuda/rows.h"
#include "ops/blocks.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// Element e of all blocks of row i.
struct CopyBlocksEach {
  CopyBlocks<float> a;
  __device__ void operator()(int64_t i, int64_t e) const {
    const uint32_t width = static_cast<uint32_t>(a.width);
    const uint32_t j = static_cast<uint32_t>(e) / width, c = static_cast<uint32_t>(e) - j * width;
    a.y[i * a.y_row + j * a.y_block + c] = a.x[i * a.x_row + j * a.x_block + c];
  }
};
void copy_blocks_impl(Queue& queue, const CopyBlocks<float>& a) {
  const int64_t row = a.blocks * a.width;
  if (a.rows * row == 0) return;
  if (a.blocks == 1 && a.y_row == row && a.x_row == row) {
    return cuda::check(cudaMemcpyAsync(a.y, a.x, static_cast<size_t>(a.rows * row) * sizeof(float),
                                       cudaMemcpyDeviceToDevice, queue.stream),
                       "copy_blocks");
  }
  cuda::for_elements(queue, a.rows, row, CopyBlocksEach{a}, "copy_blocks");
}

struct SumBlocksEach {
  Mat<float> y;
  Mat<const float> x;
  __device__ void operator()(int64_t i, int64_t c) const {
    const float* row = x.row(i);
    float sum = row[c];
    for (int64_t at = c + y.cols; at < x.cols; at += y.cols) sum += row[at];
    y.row(i)[c] = sum;
  }
};
void sum_blocks_impl(Queue& queue, const SumBlocks<float>& a) {
  cuda::for_elements(queue, a.y.rows, a.y.cols, SumBlocksEach{a.y, a.x}, "sum_blocks");
}

}  // namespace

DEFINE_CUDA_OP(copy_blocks, CopyBlocks)
DEFINE_CUDA_OP(sum_blocks, SumBlocks)

}  // namespace keyheads::ops
