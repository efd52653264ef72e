// Sums and maxima over the threads of a warp or a block, in an order that depends on nothing but
// the size of the block: the same bits every time.
#pragma once
#include "cuda/launch.h"

namespace keyheads::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

// Over each group of so many neighbouring lanes, which all get it.
template <int lanes = 32, class T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int m = lanes / 2; m > 0; m >>= 1) v += __shfl_xor_sync(kAllLanes, v, m);
  return v;
}

template <int lanes = 32, class T>
__device__ __forceinline__ T warp_max(T v) {
  for (int m = lanes / 2; m > 0; m >>= 1) {
    const T other = __shfl_xor_sync(kAllLanes, v, m);
    v = other > v ? other : v;
  }
  return v;
}

// For blocks of whole warps; every thread gets the sum.
template <class T>
__device__ __forceinline__ T block_sum(T v) {
  SHARED(T, parts, 32);
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  T sum = threadIdx.x % 32 < blockDim.x / 32 ? parts[threadIdx.x % 32] : T(0);
  sum = warp_sum(sum);
  __syncthreads();  // before the parts are written again
  return sum;
}

template <class T>
__device__ __forceinline__ T block_max(T v) {
  SHARED(T, parts, 32);
  v = warp_max(v);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  T most = threadIdx.x % 32 < blockDim.x / 32 ? parts[threadIdx.x % 32] : v;
  most = warp_max(most);
  __syncthreads();
  return most;
}

}  // namespace keyheads::cuda
