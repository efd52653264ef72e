// A device that ops run on, behind a library that is opened when somebody asks for it
// (cuda/api.h). Engine thread only, except for its memory and for ops, which wait for each other.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/context.h"
#include "base/memory.h"
#include "cuda/api.h"

namespace keyheads {

class Device : public MemorySource {
 public:
  // The devices that this library sees. Throws NO_DEVICE with what was found instead.
  static std::vector<cuda::DeviceInfo> list(const std::string& library);
  // Opened once, and never closed. `cublaslt`: a file, or empty to search for it.
  static Device& open(const std::string& library, int ordinal, const std::string& cublaslt);

  cuda::DeviceInfo info();
  // tf32: products of two float matrices may round what they multiply to TF32, 11 bits.
  void run(const char* op, const void* args, bool tf32);
  // Whether the library has this op.
  bool has(const char* op);
  void upload(void* to, const void* host, size_t bytes);
  void download(void* host, const void* from, size_t bytes);  // waits
  // Pinned memory has it when a later mark has been reached.
  void collect(void* pinned, const void* from, size_t bytes);
  void copy(void* to, const void* from, size_t bytes);
  void zero(void* block, size_t bytes);
  void synchronize();
  // The end of what has been queued, to wait for, once.
  void* mark();
  void wait(void* mark);
  // What ops keep for themselves between calls, beside the account of memory.h.
  int64_t scratch_bytes();
  void drop_scratch();

  // Memory for tests, which the host sees too.
  std::shared_ptr<void> allocate_shared(size_t bytes);

  // Memory of the host that copies use by themselves while the host goes on, with an account of its
  // own.
  MemorySource& pinned() { return pinned_; }

  void* take(size_t bytes) override;
  void give_back(void* block) override;
  const char* name() const override { return "the GPU"; }

 private:
  class Pinned : public MemorySource {
   public:
    explicit Pinned(Device& device) : device_(device) {}
    void* take(size_t bytes) override;
    void give_back(void* block) override;
    const char* name() const override { return "the system, for copies to the GPU,"; }

   private:
    Device& device_;
  };

  Device(void* library, const cuda::DeviceApi* api, cuda::Queue* queue)
      : library_(library), api_(api), queue_(queue) {}
  void check(cuda::Failure failure);
  cuda::OpFunction find(const char* op);

  void* library_;
  const cuda::DeviceApi* api_;
  cuda::Queue* queue_;
  Pinned pinned_{*this};
  std::mutex running_;
  std::unordered_map<const void*, cuda::OpFunction> ops_;  // by the address of their name
};

// Bytes between tensors of a run: on its device, or on the host.
void copy_bytes(Context& ctx, void* to, const void* from, size_t bytes);
void zero_bytes(Context& ctx, void* block, size_t bytes);
// Between a run's tensors and memory of the host.
void bytes_to_host(Context& ctx, void* host, const void* from, size_t bytes);
void bytes_from_host(Context& ctx, void* to, const void* host, size_t bytes);

}  // namespace keyheads
