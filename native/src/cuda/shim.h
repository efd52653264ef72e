// CUDA on the CPU, for tests: the subset of the language and of the runtime that this project uses.
// Blocks run one after the other; each CUDA thread of a block is a fiber, run in an order that is
// shuffled from launch to launch, so that a missing barrier shows. Shared memory is filled with
// garbage before each block. Device memory cannot be touched outside of kernels and copies: a host
// that does so ends with SIGSEGV, always after a copy, and after one in 16 kernels, by chance,
// because closing the memory takes longer than most of them. Copies from and to pinned memory run
// as late as they may, and what is queued behind them with them: a host that does not wait for them
// shows. Everything else is done at once. x86-64 only.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#ifndef __restrict__
#define __restrict__ __restrict
#endif

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace shim {

// Where the thread that runs now stands.
struct Place {
  dim3 thread, threads, blocks;
  unsigned lane_of_block;  // of all threads of the block
};
extern Place* here;
extern dim3 block_of_here;

void launch(const dim3& blocks, const dim3& threads, size_t shared_bytes,
            const std::function<void()>& body);
void barrier();
void warp_barrier();
// Writes this lane's value, waits for the warp, and reads that of lane `from`.
uint64_t exchange(uint64_t value, unsigned from);
// Writes this lane's words, waits for the warp, and gives those of all lanes, which stay until the
// lanes meet at the next barrier.
using Words = uint32_t[8];
const Words* share_words(const uint32_t* words, unsigned count);
void* dynamic_shared();
void fill_shared(void* memory, size_t bytes);
extern uint64_t block_number;  // of the block that runs, of all that ever ran

// Memory at this address is shared memory of whichever block runs: `filled_for` is the last that
// found garbage there.
inline void use_shared(void* memory, size_t bytes, uint64_t& filled_for) {
  if (filled_for == block_number) return;
  filled_for = block_number;
  fill_shared(memory, bytes);
}

template <class T>
T exchange_of(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, from);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned lane() { return here->lane_of_block % 32; }

}  // namespace shim

#define threadIdx (shim::here->thread)
#define blockIdx (shim::block_of_here)
#define blockDim (shim::here->threads)
#define gridDim (shim::here->blocks)
#define warpSize 32
#define __syncthreads() shim::barrier()
#define __syncwarp(...) shim::warp_barrier()
#define __unused_mask [[maybe_unused]] unsigned

template <class T>
T __shfl_xor_sync(__unused_mask, T v, int mask, int = 32) {
  return shim::exchange_of(v, shim::lane() ^ static_cast<unsigned>(mask));
}
template <class T>
T __shfl_sync(__unused_mask, T v, int from, int width = 32) {
  const auto w = static_cast<unsigned>(width);
  return shim::exchange_of(v, shim::lane() / w * w + static_cast<unsigned>(from) % w);
}
template <class T>
T __shfl_down_sync(__unused_mask, T v, unsigned delta, int = 32) {
  const unsigned to = shim::lane() + delta;
  return shim::exchange_of(v, to < 32 ? to : shim::lane());
}
template <class T>
T __shfl_up_sync(__unused_mask, T v, unsigned delta, int = 32) {
  return shim::exchange_of(v, shim::lane() >= delta ? shim::lane() - delta : shim::lane());
}
inline unsigned __ballot_sync(__unused_mask, int predicate) {
  unsigned bits = 0;
  for (unsigned i = 0; i < 32; ++i) {
    bits |= static_cast<unsigned>(shim::exchange_of(predicate, i) != 0) << i;
  }
  return bits;
}
template <class T>
T atomicAdd(T* p, T v) {
  const T old = *p;
  *p = old + v;
  return old;
}
template <class T>
T __ldg(const T* p) {
  return *p;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
using std::max;
using std::min;

#define LAUNCH_NAME(...) __VA_ARGS__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  (static_cast<void>(stream), shim::launch(grid, block, shared_bytes, [=] { kernel(__VA_ARGS__); }))
#define SHARED(T, name, n)               \
  static T name[n];                      \
  static uint64_t name##_filled_for = 0; \
  shim::use_shared(name, sizeof name, name##_filled_for)
#define DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(shim::dynamic_shared())

// The runtime.
enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorNoDevice = 100 };
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
using cudaStream_t = void*;
using cudaEvent_t = void*;
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem;
};
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0;

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int ordinal);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaMemGetInfo(size_t* available, size_t* total);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMalloc(void** block, size_t bytes);
cudaError_t cudaMallocManaged(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaHostAlloc(void** block, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_step, const void* from, size_t from_step,
                              size_t bytes, size_t lines, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* block, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaGetLastError();
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel, int, int) {
  return cudaSuccess;
}
inline constexpr int cudaFuncAttributeMaxDynamicSharedMemorySize = 8;
