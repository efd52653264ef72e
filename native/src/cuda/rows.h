// Kernels over matrices: a thread an element, or threads that share a row. What a row becomes
// depends on its length and nothing else, not on the rows beside it.
#pragma once
#include <algorithm>

#include "cuda/op.h"
#include "cuda/reduce.h"

namespace keyheads::cuda {

// Neighbours in a row are neighbours among the threads of a block, which may have several rows.
template <class F>
__global__ void for_elements_kernel(int64_t rows, int64_t cols, F f) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= cols) return;
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.y;
  for (int64_t r = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; r < rows; r += step)
    f(r, c);
}

// Calls f(r, c) for every element of a (rows, cols) matrix: a thread each, or a thread for
// elements of one column where rows are many.
template <class F>
void for_elements(Queue& queue, int64_t rows, int64_t cols, const F& f, const char* op) {
  if (rows == 0 || cols == 0) return;
  unsigned width = 32;
  while (width < kThreads && width < cols) width *= 2;
  const unsigned height = kThreads / width;
  const auto down = static_cast<unsigned>(std::min<int64_t>(65535, (rows + height - 1) / height));
  LAUNCH(for_elements_kernel<F>, dim3(blocks_for(cols, width), down), dim3(width, height), 0,
         queue.stream, rows, cols, f);
  check_launch(op);
}

// The threads that share a row: thread `first` of `step`. All of them get sums and maxima.
struct WarpOfRow {
  int64_t first, step;
  template <class T>
  __device__ __forceinline__ T sum(T v) const {
    return warp_sum(v);
  }
  template <class T>
  __device__ __forceinline__ T max(T v) const {
    return warp_max(v);
  }
};
struct BlockOfRow {
  int64_t first, step;
  template <class T>
  __device__ __forceinline__ T sum(T v) const {
    return block_sum(v);
  }
  template <class T>
  __device__ __forceinline__ T max(T v) const {
    return block_max(v);
  }
};

// A warp a row.
template <class F>
__global__ void for_rows_by_warp(int64_t rows, F f) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (r < rows) f(r, WarpOfRow{threadIdx.x, 32});
}
// A block a row.
template <class F>
__global__ void for_rows_by_block(F f) {
  f(static_cast<int64_t>(blockIdx.x), BlockOfRow{threadIdx.x, blockDim.x});
}

// Calls f(r, threads) for rows of about `cols` elements, by the threads of a row together.
// f is a struct with `template <class Threads> __device__ void operator()(int64_t r, Threads)
// const` whose threads all call the same sums and maxima.
template <class F>
void for_rows(Queue& queue, int64_t rows, int64_t cols, const F& f, const char* op) {
  constexpr int64_t kOfWarp = 1024, kOfBlock = 8192;
  if (rows == 0) return;
  if (cols <= kOfWarp) {
    constexpr unsigned kRows = kThreads / 32;
    LAUNCH(for_rows_by_warp<F>, dim3(blocks_for(rows, kRows)), dim3(32, kRows), 0, queue.stream,
           rows, f);
  } else {
    LAUNCH(for_rows_by_block<F>, dim3(blocks_for(rows, 1)),
           dim3(cols <= kOfBlock ? kThreads : 2 * kThreads), 0, queue.stream, f);
  }
  check_launch(op);
}

}  // namespace keyheads::cuda
