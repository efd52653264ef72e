#include <algorithm>

#include "cuda/gemm.h"
#include "cuda/op.h"
#include "cuda/reduce.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "cuda/weight.h"
#include "ops/linear.h"

namespace keyheads::ops {
namespace {

using cuda::Bf16;
using cuda::Operand;
using cuda::Queue;

bool is_bf16(const Weight<float>& w) { return w.storage == Storage::bf16; }
// A weight as it lies on a device: (n, k), without gaps.
Operand stored(const Weight<float>& w) { return {w.data, w.k, is_bf16(w), false}; }
// What meets a weight: f32 as it is, or rounded as the weight is.
Operand beside(Queue& queue, const Weight<float>& w, const Mat<const float>& x) {
  return is_bf16(w) ? cuda::rounded(queue, x) : Operand{x.data, x.stride, false, false};
}

// How one row of a weight is multiplied with rows of x by a warp: each lane takes kStep neighbours
// at a time. With bf16 weights x is rounded too, as in larger products.
template <class E>
struct Piece;
template <>
struct Piece<float> {
  static constexpr int kStep = 4;
  float x[4];
  __device__ __forceinline__ static float beside(float x) { return x; }
  __device__ __forceinline__ void load(const float* w) {
    const float4 v = *reinterpret_cast<const float4*>(w);
    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
  }
};
template <>
struct Piece<Bf16> {
  static constexpr int kStep = 8;
  float x[8];
  __device__ __forceinline__ static float beside(float x) { return rounded_to_bf16(x); }
  __device__ __forceinline__ void load(const Bf16* w) {
    const uint4 v = *reinterpret_cast<const uint4*>(w);
    const uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[2 * i] = Bf16Pair{pairs[i]}.first();
      x[2 * i + 1] = Bf16Pair{pairs[i]}.second();
    }
  }
};

// sums[m] = x[m] . w over k elements, for M rows of x `stride` apart, by a warp; every lane gets
// them. `wide`: w and the rows of x are 16-byte aligned.
template <int M, class E>
__device__ __forceinline__ void warp_dots(const float* x, int64_t stride, const E* w, int64_t k,
                                          bool wide, float (&sums)[M]) {
  using P = Piece<E>;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < M; ++m) sums[m] = 0;
  const int64_t vectors = wide ? k / P::kStep : 0;
#pragma unroll 4
  for (int64_t v = lane; v < vectors; v += 32) {
    P piece;
    piece.load(w + v * P::kStep);
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const float* row = x + m * stride + v * P::kStep;
#pragma unroll
      for (int i = 0; i < P::kStep; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(row + i);
        sums[m] = fmaf(P::beside(four.x), piece.x[i], sums[m]);
        sums[m] = fmaf(P::beside(four.y), piece.x[i + 1], sums[m]);
        sums[m] = fmaf(P::beside(four.z), piece.x[i + 2], sums[m]);
        sums[m] = fmaf(P::beside(four.w), piece.x[i + 3], sums[m]);
      }
    }
  }
  for (int64_t i = vectors * P::kStep + lane; i < k; i += 32) {
    const float element = cuda::load(w[i]);
#pragma unroll
    for (int m = 0; m < M; ++m) {
      sums[m] = fmaf(P::beside(x[m * stride + i]), element, sums[m]);
    }
  }
#pragma unroll
  for (int m = 0; m < M; ++m) sums[m] = cuda::warp_sum(sums[m]);
}

template <class E>
bool are_wide(const Weight<float>& w, const Mat<const float>& x) {
  return cuda::rows_are_wide(w.data, w.k * static_cast<int64_t>(sizeof(E))) &&
         cuda::rows_are_wide(x.data, x.stride * 4);
}

constexpr int kWarps = cuda::kThreads / 32;

// A few rows of x: the weight is read once, a row of it by a warp, and the time is that of reading.
template <int M, class E>
__global__ void few_rows_kernel(Mat<float> y, Mat<const float> x, const E* w, const float* bias,
                                int64_t n, int64_t k, bool wide) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (row >= n) return;
  float sums[M];
  warp_dots<M>(x.data, x.stride, w + row * k, k, wide, sums);
  if (threadIdx.x % 32 != 0) return;
#pragma unroll
  for (int m = 0; m < M; ++m) y.row(m)[row] = bias ? sums[m] + bias[row] : sums[m];
}

constexpr int64_t kFewRows = 4;

template <int M>
void few_rows(Queue& queue, const Linear<float>& a) {
  if (a.x.rows != M) {
    if constexpr (M > 1) few_rows<M - 1>(queue, a);
    return;
  }
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    LAUNCH((few_rows_kernel<M, E>), dim3(cuda::blocks_for(a.w.n, kWarps)), dim3(cuda::kThreads), 0,
           queue.stream, a.y, a.x, w.data, a.bias, a.w.n, a.w.k, are_wide<E>(a.w, a.x));
  });
  cuda::check_launch("linear");
}

void linear_impl(Queue& queue, const Linear<float>& a) {
  if (a.y.rows == 0 || a.w.n == 0) return;
  if (a.x.rows <= kFewRows) return few_rows<kFewRows>(queue, a);
  Operand w = stored(a.w);
  w.transposed = true;
  const Mat<float> y{a.y.data, a.y.rows, a.w.n, a.y.stride};
  const Mat<const float> x{a.x.data, a.x.rows, a.w.k, a.x.stride};
  cuda::multiply(queue, {y, beside(queue, a.w, x), w, a.w.k, false, a.bias});
}

void linear_input_grad_impl(Queue& queue, const LinearInputGrad<float>& a) {
  const Mat<float> dx{a.dx.data, a.dx.rows, a.w.k, a.dx.stride};
  const Mat<const float> dy{a.dy.data, a.dy.rows, a.w.n, a.dy.stride};
  cuda::multiply(queue, {dx, beside(queue, a.w, dy), stored(a.w), a.w.n, a.accumulate, nullptr});
}

void linear_weight_grad_impl(Queue& queue, const LinearWeightGrad<float>& a) {
  const Operand dy{a.dy.data + a.n0, a.dy.stride, false, true};
  const Operand x{a.x.data + a.k0, a.x.stride, false, false};
  cuda::multiply(queue, {a.dw, dy, x, a.x.rows, true, nullptr});
}

// A block sums 32 columns over kChunk rows, one after the other: a warp every eighth row, then the
// warps' sums in their order.
constexpr int64_t kChunk = 512;
__global__ void column_sums_kernel(float* to, int64_t to_stride, bool accumulate,
                                   Mat<const float> x) {
  SHARED(float, sums, kWarps * 32);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + lane;
  for (int64_t chunk = blockIdx.y; chunk * kChunk < x.rows; chunk += gridDim.y) {
    const int64_t end = min((chunk + 1) * kChunk, x.rows);
    float sum = 0;
    for (int64_t r = chunk * kChunk + warp; column < x.cols && r < end; r += kWarps) {
      sum += x.row(r)[column];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp == 0 && column < x.cols) {
      for (int w = 1; w < kWarps; ++w) sum += sums[32 * w + lane];
      float* at = to + chunk * to_stride + column;
      *at = accumulate ? *at + sum : sum;
    }
    __syncthreads();
  }
}

void add_column_sums(Queue& queue, float* to, const Mat<const float>& x) {
  const int64_t chunks = (x.rows + kChunk - 1) / kChunk;
  float* parts = chunks > 1 ? queue.scratch<float>(chunks * x.cols) : nullptr;
  const dim3 grid(cuda::blocks_for(x.cols, 32),
                  static_cast<unsigned>(std::min<int64_t>(chunks, 65535)));
  LAUNCH(column_sums_kernel, grid, dim3(cuda::kThreads), 0, queue.stream, parts ? parts : to,
         x.cols, !parts, x);
  cuda::check_launch("linear_bias_grad");
  if (parts) add_column_sums(queue, to, {parts, chunks, x.cols, x.cols});
}

void linear_bias_grad_impl(Queue& queue, const LinearBiasGrad<float>& a) {
  if (a.dy.rows == 0 || a.n1 <= a.n0) return;
  add_column_sums(queue, a.db, {a.dy.data + a.n0, a.dy.rows, a.n1 - a.n0, a.dy.stride});
}

// A warp an output.
template <class E>
__global__ void selected_kernel(Mat<float> y, Mat<const float> x, const E* w, const int32_t* ids,
                                const float* bias, int64_t k, bool wide) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (i >= y.rows * y.cols) return;
  const int64_t r = i / y.cols, id = ids[i];
  float sum[1];
  warp_dots<1>(x.row(r), 0, w + id * k, k, wide, sum);
  if (threadIdx.x % 32 == 0) y.row(r)[i % y.cols] = bias ? sum[0] + bias[id] : sum[0];
}

void selected_linear_impl(Queue& queue, const SelectedLinear<float>& a) {
  const int64_t count = a.y.rows * a.y.cols;
  if (count == 0) return;
  const int32_t* ids = queue.upload(a.ids, count);
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    LAUNCH(selected_kernel<E>, dim3(cuda::blocks_for(count, kWarps)), dim3(cuda::kThreads), 0,
           queue.stream, a.y, a.x, w.data, ids, a.bias, a.w.k, are_wide<E>(a.w, a.x));
  });
  cuda::check_launch("selected_linear");
}

template <class E>
struct PackEach {
  Mat<E> w;
  Mat<const float> matrix;
  __device__ void operator()(int64_t r, int64_t c) const {
    cuda::store(w.row(r)[c], matrix.row(r)[c]);
  }
};
void pack_impl(Queue& queue, const Pack<float>& a) {
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    cuda::for_elements(queue, w.rows, w.cols, PackEach<E>{w, a.matrix}, "pack");
  });
}

template <class E>
struct UnpackEach {
  Mat<float> matrix;
  Mat<E> w;
  __device__ void operator()(int64_t r, int64_t c) const {
    matrix.row(r)[c] = cuda::load(w.row(r)[c]);
  }
};
void unpack_impl(Queue& queue, const Unpack<float>& a) {
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    cuda::for_elements(queue, w.rows, w.cols, UnpackEach<E>{a.matrix, w}, "unpack");
  });
}

}  // namespace

DEFINE_CUDA_OP(linear, Linear)
DEFINE_CUDA_OP(linear_input_grad, LinearInputGrad)
DEFINE_CUDA_OP(linear_weight_grad, LinearWeightGrad)
DEFINE_CUDA_OP(linear_bias_grad, LinearBiasGrad)
DEFINE_CUDA_OP(selected_linear, SelectedLinear)
DEFINE_CUDA_OP(pack, Pack)
DEFINE_CUDA_OP(unpack, Unpack)

}  // namespace keyheads::ops
