#include "base/device.h"

#include <cstring>
#include <map>

#include "base/check.h"
#include "base/platform.h"
#include "ops/op.h"
#include "schema/hash.h"

namespace keyheads {
namespace {

struct Library {
  void* handle;
  const cuda::DeviceApi* api;
};

const Library& open_cuda(const std::string& path) {
  static auto* opened = new std::map<std::string, Library>;
  if (const auto found = opened->find(path); found != opened->end()) return found->second;
  std::string why;
  void* handle = open_library(path, why);
  if (!handle) fail("NO_DEVICE", "the CUDA library ", path, " cannot be opened: ", why);
  const auto api = reinterpret_cast<cuda::ApiFunction>(find_symbol(handle, cuda::kApiSymbol));
  if (!api) fail("NO_DEVICE", path, " is no CUDA library of keyheads");
  if (std::strcmp(api()->schema_hash, kSchemaHash) != 0) {
    fail("STALE_BINARY", "the CUDA library ", path, " was built from other sources (",
         api()->schema_hash, ", expected ", kSchemaHash,
         "); install the same version of keyheads and its CUDA package, or build both again");
  }
  return (*opened)[path] = {handle, api()};
}

}  // namespace

std::vector<cuda::DeviceInfo> Device::list(const std::string& library) {
  const Library& cuda = open_cuda(library);
  std::vector<cuda::DeviceInfo> all(64);
  int count = 0;
  const cuda::Failure why = cuda.api->list(all.data(), static_cast<int>(all.size()), &count);
  if (why) fail("NO_DEVICE", why);
  all.resize(static_cast<size_t>(std::min<int>(count, static_cast<int>(all.size()))));
  return all;
}

Device& Device::open(const std::string& library, int ordinal, const std::string& cublaslt) {
  static auto* devices = new std::map<std::pair<std::string, int>, Device*>;
  Device*& device = (*devices)[{library, ordinal}];
  if (device) return *device;
  const Library& cuda = open_cuda(library);
  cuda::Queue* queue = nullptr;
  const cuda::Failure why =
      cuda.api->open(ordinal, cublaslt.empty() ? nullptr : cublaslt.c_str(), &queue);
  if (why) fail("NO_DEVICE", why);
  return *(device = new Device(cuda.handle, cuda.api, queue));
}

void Device::check(cuda::Failure failure) {
  if (failure) fail("DEVICE_FAILED", failure);
}

cuda::DeviceInfo Device::info() {
  cuda::DeviceInfo info{};
  check(api_->describe(queue_, &info));
  return info;
}

cuda::OpFunction Device::find(const char* op) {
  cuda::OpFunction& function = ops_[op];
  if (!function) {
    const std::string symbol = std::string(cuda::kOpPrefix) + op;
    function = reinterpret_cast<cuda::OpFunction>(find_symbol(library_, symbol.c_str()));
  }
  return function;
}

bool Device::has(const char* op) {
  const std::lock_guard lock(running_);
  return find(op) != nullptr;
}

void Device::run(const char* op, const void* args, bool tf32) {
  const std::lock_guard lock(running_);
  const cuda::OpFunction function = find(op);
  if (!function) fail("DEVICE_FAILED", "the CUDA library has no op ", op);
  check(function(queue_, args, tf32));
}

void Device::upload(void* to, const void* host, size_t bytes) {
  check(api_->upload(queue_, to, host, bytes));
}
void Device::download(void* host, const void* from, size_t bytes) {
  check(api_->download(queue_, host, from, bytes));
}
void Device::collect(void* pinned, const void* from, size_t bytes) {
  check(api_->collect(queue_, pinned, from, bytes));
}
void Device::copy(void* to, const void* from, size_t bytes) {
  check(api_->copy(queue_, to, from, bytes));
}
void Device::zero(void* block, size_t bytes) { check(api_->zero(queue_, block, bytes)); }
void Device::synchronize() { check(api_->synchronize(queue_)); }
void* Device::mark() {
  void* made = nullptr;
  check(api_->mark(queue_, &made));
  return made;
}
void Device::wait(void* mark) { check(api_->wait(queue_, mark)); }
int64_t Device::scratch_bytes() { return api_->scratch_bytes(queue_); }
void Device::drop_scratch() { check(api_->drop_scratch(queue_)); }

std::shared_ptr<void> Device::allocate_shared(size_t bytes) {
  void* block = nullptr;
  check(api_->allocate_shared(queue_, bytes, &block));
  if (!block) fail("OUT_OF_MEMORY", name(), " has no ", bytes, " bytes left");
  return {block, [this](void* p) { api_->release(queue_, p); }};
}

void* Device::take(size_t bytes) {
  void* block = nullptr;
  check(api_->allocate(queue_, bytes, &block));
  return block;
}

void* Device::Pinned::take(size_t bytes) {
  void* block = nullptr;
  device_.check(device_.api_->allocate_pinned(device_.queue_, bytes, &block));
  return block;
}
void Device::Pinned::give_back(void* block) { device_.api_->release_pinned(device_.queue_, block); }

// Where a device has failed for good, there is nothing to give back to.
void Device::give_back(void* block) { api_->release(queue_, block); }

void run_on_device(Context& ctx, const char* op, const void* args) {
  ctx.device->run(op, args, ctx.tf32);
}

void refuse_double_on_device(const char* op) {
  fail("BAD_ARGUMENT", op, ": a GPU computes in float; leave out --dtype f64, or --device cuda");
}

void copy_bytes(Context& ctx, void* to, const void* from, size_t bytes) {
  if (ctx.planning || bytes == 0) return;
  ctx.device ? ctx.device->copy(to, from, bytes) : void(std::memcpy(to, from, bytes));
}

void zero_bytes(Context& ctx, void* block, size_t bytes) {
  if (ctx.planning || bytes == 0) return;
  ctx.device ? ctx.device->zero(block, bytes) : void(std::memset(block, 0, bytes));
}

void bytes_to_host(Context& ctx, void* host, const void* from, size_t bytes) {
  if (ctx.planning || bytes == 0) return;
  ctx.device ? ctx.device->download(host, from, bytes) : void(std::memcpy(host, from, bytes));
}

void bytes_from_host(Context& ctx, void* to, const void* host, size_t bytes) {
  if (ctx.planning || bytes == 0) return;
  ctx.device ? ctx.device->upload(to, host, bytes) : void(std::memcpy(to, host, bytes));
}

}  // namespace keyheads
