// Kernels are written once. nvcc compiles them for GPUs; a C++ compiler compiles the same sources
// for the CPU with shim.h, so that their logic is tested on machines without a GPU.
//   LAUNCH(kernel, grid, block, shared_bytes, stream, args...)
//   SHARED(T, name, n)       n elements of shared memory, known at compile time
//   DYNAMIC_SHARED(T, name)  the launch's shared_bytes
// A kernel that is a template with several arguments is passed in parentheses.
#pragma once
#ifdef __CUDACC__
#include <cuda_runtime.h>
#define LAUNCH_NAME(...) __VA_ARGS__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define SHARED(T, name, n) __shared__ T name[n]
#define DYNAMIC_SHARED(T, name)                                  \
  extern __shared__ __align__(16) unsigned char shared_bytes_[]; \
  T* const name = reinterpret_cast<T*>(shared_bytes_)
#else
#include "cuda/shim.h"
#endif
