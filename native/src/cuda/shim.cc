#include "cuda/shim.h"

#include <sys/mman.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#ifndef __x86_64__
#error "the shim switches stacks of x86-64 only"
#endif

// Saves and loads what a call keeps; everything else is saved by the compiler around it.
extern "C" void shim_switch(void** save, void* load);
asm(R"(.text
.p2align 4
.globl shim_switch
.hidden shim_switch
.type shim_switch, @function
shim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi); movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size shim_switch, .-shim_switch
)");

namespace shim {

Place* here = nullptr;

namespace {

constexpr size_t kStack = 64 * 1024;
constexpr int kGarbage = 0xcd;

struct Fiber {
  Place place;
  void* stack_pointer;
  bool done;
};
// Threads that wait for each other: all of a block, or a warp.
struct Group {
  unsigned live = 0, arrived = 0;
  uint64_t phase = 0;

  void open_if_all_are_there() {
    if (live == 0 || arrived < live) return;
    arrived = 0;
    ++phase;
  }
};
struct Warp {
  Group group;
  uint64_t values[32];
  Words words[32];
};
struct SharedMemory {
  void* memory;
  size_t bytes;
};

struct Machine {
  std::vector<Fiber> fibers;
  std::vector<std::unique_ptr<char[]>> stacks;
  std::vector<Warp> warps;
  Group block;
  std::vector<char> dynamic;
  std::vector<SharedMemory> shared;  // static shared memory of every kernel that ran
  const std::function<void()>* body = nullptr;
  void* scheduler = nullptr;
  Fiber* running = nullptr;
  uint32_t random = 1;

  uint32_t next_random() {
    random = random * 1664525u + 1013904223u;
    return random >> 8;
  }
};
Machine& machine() {
  static auto* instance = new Machine;
  return *instance;
}

void pause() { shim_switch(&machine().running->stack_pointer, machine().scheduler); }

void wait(Group& group) {
  const uint64_t phase = group.phase;
  ++group.arrived;
  group.open_if_all_are_there();
  while (group.phase == phase) pause();
}

Warp& warp() { return machine().warps[here->lane_of_block / 32]; }

// Threads that have ended count as arrived, as they do on a GPU.
void leave(Group& group) {
  --group.live;
  group.open_if_all_are_there();
}

void run_fiber() {
  Machine& m = machine();
  (*m.body)();
  m.running->done = true;
  leave(m.block);
  leave(warp().group);
  pause();
  std::abort();
}

void prepare(Fiber& fiber, char* stack) {
  fiber.done = false;
  auto top = reinterpret_cast<uintptr_t>(stack + kStack) & ~uintptr_t{15};
  auto** sp = reinterpret_cast<void**>(top);
  *--sp = nullptr;
  *--sp = reinterpret_cast<void*>(&run_fiber);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  fiber.stack_pointer = sp;
}

void shuffle(std::vector<unsigned>& order) {
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[machine().next_random() % i]);
  }
}

uint64_t phases() {
  uint64_t sum = machine().block.phase;
  for (const Warp& w : machine().warps) sum += w.group.phase;
  return sum;
}

void run_block(const dim3& at, std::vector<unsigned>& order) {
  Machine& m = machine();
  const auto count = static_cast<unsigned>(m.fibers.size());
  m.block = {};
  m.block.live = count;
  m.warps.assign((count + 31) / 32, Warp{});
  std::memset(m.dynamic.data(), kGarbage, m.dynamic.size());
  for (const SharedMemory& s : m.shared) std::memset(s.memory, kGarbage, s.bytes);
  for (unsigned i = 0; i < count; ++i) {
    m.fibers[i].place.block = at;
    ++m.warps[i / 32].group.live;
    prepare(m.fibers[i], m.stacks[i].get());
  }
  shuffle(order);
  while (m.block.live > 0) {
    const unsigned live = m.block.live;
    const uint64_t before = phases();
    for (const unsigned i : order) {
      Fiber& fiber = m.fibers[i];
      if (fiber.done) continue;
      m.running = &fiber;
      here = &fiber.place;
      shim_switch(&m.scheduler, fiber.stack_pointer);
    }
    if (m.block.live == live && phases() == before) {
      std::fprintf(stderr, "shim: threads of block %u, %u, %u wait at different barriers\n", at.x,
                   at.y, at.z);
      std::abort();
    }
  }
  here = nullptr;
}

// Device memory: addresses that only kernels and copies can use.
class Arena {
 public:
  void* allocate(size_t bytes) {
    std::lock_guard lock(mutex_);
    if (!base_) reserve();
    const size_t size = (bytes + 255) / 256 * 256 + 256;  // a gap behind every block
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      const auto [at, length] = *it;
      if (length < size) continue;
      free_.erase(it);
      if (length > size) free_[at + size] = length - size;
      used_[at] = size;
      return base_ + at;
    }
    if (end_ + size > kBytes) return nullptr;
    used_[end_] = size;
    end_ += size;
    return base_ + end_ - size;
  }
  // False where it is none of ours.
  bool release(void* block) {
    std::lock_guard lock(mutex_);
    const auto found = used_.find(static_cast<size_t>(static_cast<char*>(block) - base_));
    if (!base_ || found == used_.end()) return false;
    auto [at, size] = *found;
    used_.erase(found);
    const auto after = free_.find(at + size);
    if (after != free_.end()) {
      size += after->second;
      free_.erase(after);
    }
    const auto before = free_.lower_bound(at);
    if (before != free_.begin() && std::prev(before)->first + std::prev(before)->second == at) {
      std::prev(before)->second += size;
    } else {
      free_[at] = size;
    }
    return true;
  }
  void open() { protect(PROT_READ | PROT_WRITE); }
  void close() { protect(PROT_NONE); }
  size_t used() {
    std::lock_guard lock(mutex_);
    size_t sum = 0;
    for (const auto& [at, size] : used_) sum += size;
    return sum;
  }
  static constexpr size_t kBytes = size_t{4} << 30;

 private:
  void reserve() {
    void* block =
        mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) std::abort();
    base_ = static_cast<char*>(block);
  }
  void protect(int how) {
    if (base_ && end_ > 0) mprotect(base_, (end_ + 4095) / 4096 * 4096, how);
  }

  std::mutex mutex_;
  char* base_ = nullptr;
  size_t end_ = 0;
  std::map<size_t, size_t> used_, free_;  // by offset: bytes
};
Arena& arena() {
  static auto* instance = new Arena;
  return *instance;
}

// By one thread at a time.
struct OpenArena {
  OpenArena() : lock(mutex()) { arena().open(); }
  ~OpenArena() { arena().close(); }
  static std::mutex& mutex() {
    static auto* instance = new std::mutex;
    return *instance;
  }
  std::lock_guard<std::mutex> lock;
};

}  // namespace

void launch(const dim3& blocks, const dim3& threads, size_t shared_bytes,
            const std::function<void()>& body) {
  Machine& m = machine();
  const unsigned count = threads.x * threads.y * threads.z;
  if (count == 0 || count > 1024 || blocks.x == 0 || blocks.y == 0 || blocks.z == 0 ||
      blocks.y > 65535 || blocks.z > 65535 || shared_bytes > 227 * 1024) {
    std::fprintf(stderr, "shim: no GPU runs blocks %u x %u x %u of %u threads with %zu bytes\n",
                 blocks.x, blocks.y, blocks.z, count, shared_bytes);
    std::abort();
  }
  const OpenArena open;
  m.body = &body;
  m.dynamic.resize(shared_bytes + 64);
  m.fibers.resize(count);
  while (m.stacks.size() < count) m.stacks.emplace_back(new char[kStack]);
  std::vector<unsigned> order(count);
  for (unsigned i = 0; i < count; ++i) {
    order[i] = i;
    const dim3 at(i % threads.x, i / threads.x % threads.y, i / (threads.x * threads.y));
    m.fibers[i].place = {at, {}, threads, blocks, i};
  }
  for (unsigned z = 0; z < blocks.z; ++z) {
    for (unsigned y = 0; y < blocks.y; ++y) {
      for (unsigned x = 0; x < blocks.x; ++x) run_block({x, y, z}, order);
    }
  }
}

void barrier() { wait(machine().block); }
void warp_barrier() { wait(warp().group); }

uint64_t exchange(uint64_t value, unsigned from) {
  Warp& w = warp();
  w.values[lane()] = value;
  warp_barrier();
  value = w.values[from % 32];
  warp_barrier();
  return value;
}

const Words* share_words(const uint32_t* words, unsigned count) {
  Warp& w = warp();
  std::copy(words, words + count, w.words[lane()]);
  warp_barrier();
  return w.words;
}

void* dynamic_shared() {
  auto at = reinterpret_cast<uintptr_t>(machine().dynamic.data());
  return reinterpret_cast<void*>((at + 15) & ~uintptr_t{15});
}

void use_shared(void* memory, size_t bytes, bool& known) {
  if (known) return;
  known = true;
  std::memset(memory, kGarbage, bytes);
  machine().shared.push_back({memory, bytes});
}

}  // namespace shim

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int ordinal) { return ordinal == 0 ? cudaSuccess : cudaErrorNoDevice; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal) {
  if (ordinal != 0) return cudaErrorNoDevice;
  *properties = {"CPU in place of a GPU", 9, 0, 1, shim::Arena::kBytes};
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  *total = shim::Arena::kBytes;
  *available = *total - shim::arena().used();
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaMalloc(void** block, size_t bytes) {
  *block = shim::arena().allocate(bytes);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMallocManaged(void** block, size_t bytes) {
  *block = std::aligned_alloc(256, (bytes + 256) / 256 * 256);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* block) {
  if (block && !shim::arena().release(block)) std::free(block);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  const shim::OpenArena open;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_step, const void* from, size_t from_step,
                              size_t bytes, size_t lines, cudaMemcpyKind, cudaStream_t) {
  const shim::OpenArena open;
  for (size_t i = 0; i < lines; ++i) {
    std::memmove(static_cast<char*>(to) + i * to_step,
                 static_cast<const char*>(from) + i * from_step, bytes);
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* block, int value, size_t bytes, cudaStream_t) {
  const shim::OpenArena open;
  std::memset(block, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaSuccess                 ? "cudaSuccess"
         : error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
                                              : "cudaErrorNoDevice";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
