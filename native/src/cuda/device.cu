// The functions of api.h.
#include <cstdio>
#include <cstring>
#include <memory>

#include "cuda/gemm.h"
#include "cuda/op.h"
#include "schema/hash.h"

namespace keyheads::cuda {
namespace {

thread_local std::string failure;

template <class Work>
Failure attempt(const Work& work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& e) {
    failure = e.what();
    return failure.c_str();
  }
}

void describe_device(int ordinal, DeviceInfo* info) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, ordinal), "device");
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  info->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  check(cudaDriverGetVersion(&info->driver), "driver");
  check(cudaRuntimeGetVersion(&info->runtime), "runtime");
}

// A machine without a driver has no devices: what CUDA calls an error then is none.
int device_count() {
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  cudaGetLastError();
  cudaDriverGetVersion(&driver);
  if (driver == 0 || status == cudaErrorNoDevice) return 0;
  check(status, "devices");
  return 0;
}

Failure list(DeviceInfo* info, int capacity, int* count) {
  return attempt([&] {
    *count = device_count();
    for (int i = 0; i < *count && i < capacity; ++i) describe_device(i, &info[i]);
  });
}

Failure open(int ordinal, const char* cublaslt, Queue** queue) {
  return attempt([&] {
    const int count = device_count();
    if (ordinal < 0 || ordinal >= count) {
      throw std::runtime_error("there is no CUDA device " + std::to_string(ordinal) +
                               "; devices found: " + std::to_string(count));
    }
    check(cudaSetDevice(ordinal), "device");
    auto opened = std::make_unique<Queue>(ordinal);
    check(cudaStreamCreateWithFlags(&opened->stream, cudaStreamNonBlocking), "stream");
    opened->lt = open_lt(cublaslt);
    *queue = opened.release();
  });
}

Failure describe(Queue* queue, DeviceInfo* info) {
  return attempt([&] {
    describe_device(queue->ordinal, info);
    size_t available = 0, total = 0;
    check(cudaMemGetInfo(&available, &total), "memory");
    info->free_bytes = static_cast<int64_t>(available);
    info->cublaslt = version_of(queue->lt);
  });
}

template <class Allocate>
void* allocated(const Allocate& from, size_t bytes) {
  void* block = nullptr;
  const cudaError_t status = from(&block, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "memory");
  return block;
}

// Called from threads that never computed, too.
Failure allocate(Queue* queue, size_t bytes, void** block) {
  return attempt([&] {
    check(cudaSetDevice(queue->ordinal), "device");
    *block = allocated([](void** b, size_t n) { return cudaMalloc(b, n); }, bytes);
  });
}

Failure allocate_shared(Queue*, size_t bytes, void** block) {
  return attempt([&] {
    *block = allocated([](void** b, size_t n) { return cudaMallocManaged(b, n); }, bytes);
  });
}

Failure release(Queue* queue, void* block) {
  return attempt([&] {
    check(cudaSetDevice(queue->ordinal), "device");
    check(cudaFree(block), "memory");
  });
}

Failure allocate_pinned(Queue* queue, size_t bytes, void** block) {
  return attempt([&] {
    check(cudaSetDevice(queue->ordinal), "device");
    *block = allocated([](void** b, size_t n) { return cudaHostAlloc(b, n, cudaHostAllocDefault); },
                       bytes);
  });
}
Failure release_pinned(Queue*, void* block) {
  return attempt([&] { check(cudaFreeHost(block), "memory"); });
}

Failure upload(Queue* queue, void* to, const void* host, size_t bytes) {
  return attempt([&] { queue->upload_bytes(to, host, bytes); });
}
Failure download(Queue* queue, void* host, const void* from, size_t bytes) {
  return attempt([&] { queue->download_bytes(host, from, bytes); });
}
Failure collect(Queue* queue, void* pinned, const void* from, size_t bytes) {
  return attempt([&] {
    check(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, queue->stream), "collect");
  });
}
Failure copy(Queue* queue, void* to, const void* from, size_t bytes) {
  return attempt([&] {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, queue->stream), "copy");
  });
}
Failure zero(Queue* queue, void* block, size_t bytes) {
  return attempt([&] { check(cudaMemsetAsync(block, 0, bytes, queue->stream), "zero"); });
}
Failure synchronize(Queue* queue) {
  return attempt([&] { check(cudaStreamSynchronize(queue->stream), "device"); });
}
Failure mark(Queue* queue, void** made) {
  return attempt([&] {
    check(cudaSetDevice(queue->ordinal), "device");
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
    check(cudaEventRecord(event, queue->stream), "event");
    *made = event;
  });
}
Failure wait(Queue*, void* made) {
  return attempt([&] {
    const auto event = static_cast<cudaEvent_t>(made);
    const cudaError_t status = cudaEventSynchronize(event);
    cudaEventDestroy(event);
    check(status, "device");
  });
}
int64_t scratch_bytes(Queue* queue) { return queue->scratch_bytes(); }
Failure drop_scratch(Queue* queue) {
  return attempt([&] { queue->drop_scratch(); });
}

const DeviceApi kApi = {kSchemaHash,    list,
                        open,           describe,
                        allocate,       allocate_shared,
                        release,        allocate_pinned,
                        release_pinned, upload,
                        download,       collect,
                        copy,           zero,
                        synchronize,    mark,
                        wait,           scratch_bytes,
                        drop_scratch};

}  // namespace
}  // namespace keyheads::cuda

KEYHEADS_EXPORT const keyheads::cuda::DeviceApi* keyheads_cuda_api() {
  return &keyheads::cuda::kApi;
}
