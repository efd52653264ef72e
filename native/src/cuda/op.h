// In X_cuda.cu: DEFINE_CUDA_OP(linear, Linear) after a linear_impl(Queue&, const Linear<float>&)
// with internal linkage. Of the pointers in an op's arguments those to tensors are the device's;
// arrays of indices and segments, and what the header calls `host`, are the host's.
#pragma once
#include "cuda/api.h"
#include "cuda/queue.h"
#include "ops/op.h"

#define KEYHEADS_EXPORT extern "C" __attribute__((visibility("default")))

#define DEFINE_CUDA_OP(name, Args)                                                       \
  KEYHEADS_EXPORT const char* keyheads_cuda_##name(cuda::Queue* queue, const void* args, \
                                                   bool tf32) {                          \
    return cuda::guarded(*queue, [&] {                                                   \
      queue->tf32 = tf32;                                                                \
      name##_impl(*queue, *static_cast<const Args<float>*>(args));                       \
    });                                                                                  \
  }

namespace keyheads::cuda {

inline constexpr int kThreads = 256;

inline unsigned blocks_for(int64_t count, int64_t per_block = kThreads) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

// Calls f(i) for i in [0, count): a thread each.
template <class F>
__global__ void for_each_kernel(int64_t count, F f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) f(i);
}

// f is a struct with `__device__ void operator()(int64_t i) const`.
template <class F>
void for_each(Queue& queue, int64_t count, const F& f, const char* op) {
  if (count == 0) return;
  LAUNCH(for_each_kernel<F>, dim3(blocks_for(count)), dim3(kThreads), 0, queue.stream, count, f);
  check_launch(op);
}

}  // namespace keyheads::cuda
