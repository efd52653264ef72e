// Reads and writes of several neighbours at once.
#pragma once
#include <cstdint>

#include "cuda/launch.h"

namespace keyheads::cuda {

// Four neighbours in memory, of which the first `left` are there; `beyond` in place of others.
// `wide`: at is 16-byte aligned.
__device__ __forceinline__ float4 four(const float* at, int64_t left, bool wide, float beyond = 0) {
  if (wide && left >= 4) return *reinterpret_cast<const float4*>(at);
  float4 v = make_float4(beyond, beyond, beyond, beyond);
  if (left > 0) v.x = at[0];
  if (left > 1) v.y = at[1];
  if (left > 2) v.z = at[2];
  if (left > 3) v.w = at[3];
  return v;
}

// f of the firsts of some vectors, of the seconds ..
template <class F, class... V>
__device__ __forceinline__ float4 each_of_four(const F& f, const V&... v) {
  return make_float4(f(v.x...), f(v.y...), f(v.z...), f(v.w...));
}

__device__ __forceinline__ void put_four(float* at, const float4& v, int64_t left, bool wide) {
  if (wide && left >= 4) {
    *reinterpret_cast<float4*>(at) = v;
    return;
  }
  if (left > 0) at[0] = v.x;
  if (left > 1) at[1] = v.y;
  if (left > 2) at[2] = v.z;
  if (left > 3) at[3] = v.w;
}

// f(c, left) for every fourth element c of a row of n, by the threads that share it: the same
// thread has the same elements, in the same order, whether or not they are read together.
template <class Threads, class F>
__device__ __forceinline__ void for_fours(const Threads& threads, int64_t n, const F& f) {
  for (int64_t c = 4 * threads.first; c < n; c += 4 * threads.step) f(c, n - c);
}

// Whether these are 16-byte aligned; null is.
template <class... Pointers>
__device__ __forceinline__ bool are_wide(const Pointers*... at) {
  return ((reinterpret_cast<uintptr_t>(at) | ...) & 15) == 0;
}

// Whether all rows that begin `row_bytes` apart are 16-byte aligned.
__host__ __device__ __forceinline__ bool rows_are_wide(const void* data, int64_t row_bytes) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(row_bytes)) % 16 == 0;
}

}  // namespace keyheads::cuda
