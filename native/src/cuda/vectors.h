// Reads of several neighbours at once.
#pragma once
#include <cstdint>

#include "cuda/launch.h"

namespace keyheads::cuda {

// Four neighbours in memory, of which the first `left` are there; zeros beyond. `wide`: at is
// 16-byte aligned.
__device__ __forceinline__ float4 four(const float* at, int64_t left, bool wide) {
  if (wide && left >= 4) return *reinterpret_cast<const float4*>(at);
  float4 v = make_float4(0, 0, 0, 0);
  if (left > 0) v.x = at[0];
  if (left > 1) v.y = at[1];
  if (left > 2) v.z = at[2];
  if (left > 3) v.w = at[3];
  return v;
}

// Whether all rows that begin `row_bytes` apart are 16-byte aligned.
__host__ __device__ __forceinline__ bool rows_are_wide(const void* data, int64_t row_bytes) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(row_bytes)) % 16 == 0;
}

}  // namespace keyheads::cuda
