// What the addon calls in a CUDA library, which it opens at run time (base/device.h): plain C, so
// that neither exceptions nor objects of a C++ library cross. A function returns null, or what went
// wrong, which stays readable until the next call. Memory is the device's unless said otherwise.
#pragma once
#include <cstddef>
#include <cstdint>

namespace keyheads::cuda {

struct Queue;  // one device, with its stream
using Failure = const char*;

struct DeviceInfo {
  char name[256];
  int major, minor;  // compute capability
  int multiprocessors;
  int64_t total_bytes, free_bytes;
  int driver, runtime;  // versions as CUDA counts them: 13000
  int cublaslt;         // 0: not found, matrix products are the library's own
};

struct DeviceApi {
  const char* schema_hash;  // of the sources it was built from
  // CUDA devices here; `info` holds the first `capacity` of them.
  Failure (*list)(DeviceInfo* info, int capacity, int* count);
  // `cublaslt`: file to take it from, or null to search for it
  Failure (*open)(int ordinal, const char* cublaslt, Queue** queue);
  Failure (*describe)(Queue*, DeviceInfo*);
  Failure (*allocate)(Queue*, size_t bytes, void** block);  // null where there is none left
  // Readable and writable from the host too, while nothing runs; for tests.
  Failure (*allocate_shared)(Queue*, size_t bytes, void** block);
  Failure (*release)(Queue*, void* block);
  // Memory of the host that copies read by themselves, while the host goes on; null where there is
  // none left.
  Failure (*allocate_pinned)(Queue*, size_t bytes, void** block);
  Failure (*release_pinned)(Queue*, void* block);
  // `host` is free then, unless it is pinned: its copy may still be to come.
  Failure (*upload)(Queue*, void* to, const void* host, size_t bytes);
  Failure (*download)(Queue*, void* host, const void* from, size_t bytes);  // and waits
  // `pinned` has it when a later mark has been reached.
  Failure (*collect)(Queue*, void* pinned, const void* from, size_t bytes);
  Failure (*copy)(Queue*, void* to, const void* from, size_t bytes);
  Failure (*zero)(Queue*, void* block, size_t bytes);
  Failure (*synchronize)(Queue*);
  // The end of what has been queued, to wait for, once.
  Failure (*mark)(Queue*, void** mark);
  Failure (*wait)(Queue*, void* mark);
  int64_t (*scratch_bytes)(Queue*);  // what ops hold between calls
  Failure (*drop_scratch)(Queue*);
};

// The functions that a library exports: this, and keyheads_cuda_NAME for every op (cuda/op.h).
inline constexpr const char* kApiSymbol = "keyheads_cuda_api";
inline constexpr const char* kOpPrefix = "keyheads_cuda_";
using ApiFunction = const DeviceApi* (*)();
// tf32: products of two float matrices may round what they multiply to TF32.
using OpFunction = Failure (*)(Queue*, const void* args, bool tf32);

}  // namespace keyheads::cuda
