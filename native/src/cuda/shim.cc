#include "cuda/shim.h"

#include <sys/mman.h>

#include <deque>
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
dim3 block_of_here;
uint64_t block_number = 0;

namespace {

constexpr size_t kStack = 64 * 1024;
constexpr int kGarbage = 0xcd;

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
  uint64_t values[2][32];  // in odd and in even phases
  Words words[32];
};
// A thread that ends leaves its stack to the next that has not begun: those of a kernel without
// barriers are a loop.
struct Fiber {
  Place place;
  char* stack;
  void* stack_pointer;
  const Group* waits_for;
  uint64_t phase;  // of that group, until whose end it waits
  bool done;

  bool waits() const { return waits_for && waits_for->phase == phase; }
};

class Stacks {
 public:
  // The lower end.
  char* take() {
    if (free_.empty()) {
      // Their ends lie in different lines of a cache.
      const size_t shift = all_.size() % 64 * 192;
      all_.emplace_back(new char[kStack + shift]);
      return all_.back().get() + shift;
    }
    char* const stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void give_back(char* stack) { free_.push_back(stack); }

 private:
  std::vector<std::unique_ptr<char[]>> all_;
  std::vector<char*> free_;
};

struct Machine {
  std::vector<Fiber> fibers;
  std::vector<unsigned> order;  // in which they run
  size_t begun = 0;             // as many of that order
  size_t turn = 0;              // in that order, of the thread that ran last
  Stacks stacks;
  std::vector<Warp> warps;
  Group block;
  std::vector<char> dynamic;
  const std::function<void()>* body = nullptr;
  void* caller = nullptr;  // of the block
  Fiber* running = nullptr;
  uint32_t random = 1;

  uint32_t next_random() {
    random = random * 1664525u + 1013904223u;
    return random >> 8;
  }
};
Machine& m = *new Machine;

void run_fiber();

// One that has not begun yet before any that waited.
Fiber& next_fiber() {
  const size_t count = m.order.size();
  if (m.begun < count) {
    Fiber& fiber = m.fibers[m.order[m.begun++]];
    fiber.stack = m.stacks.take();
    auto top = reinterpret_cast<uintptr_t>(fiber.stack + kStack) & ~uintptr_t{15};
    auto** sp = reinterpret_cast<void**>(top);
    *--sp = nullptr;
    *--sp = reinterpret_cast<void*>(&run_fiber);
    for (int i = 0; i < 6; ++i) *--sp = nullptr;
    fiber.stack_pointer = sp;
    return fiber;
  }
  for (size_t i = 0; i < count; ++i) {
    m.turn = m.turn + 1 < count ? m.turn + 1 : 0;
    Fiber& fiber = m.fibers[m.order[m.turn]];
    if (!fiber.done && !fiber.waits()) return fiber;
  }
  std::fprintf(stderr, "shim: threads of block %u, %u, %u wait at different barriers\n",
               block_of_here.x, block_of_here.y, block_of_here.z);
  std::abort();
}

void go_on_with(Fiber& fiber, void** here_now) {
  m.running = &fiber;
  here = &fiber.place;
  shim_switch(here_now, fiber.stack_pointer);
}

void wait(Group& group) {
  Fiber& fiber = *m.running;
  fiber.waits_for = &group;
  fiber.phase = group.phase;
  ++group.arrived;
  group.open_if_all_are_there();
  if (fiber.waits()) go_on_with(next_fiber(), &fiber.stack_pointer);
}

Warp& warp() { return m.warps[here->lane_of_block / 32]; }

// Threads that have ended count as arrived, as they do on a GPU.
void leave(Group& group) {
  --group.live;
  group.open_if_all_are_there();
}

void run(Fiber& fiber, char* stack) {
  fiber.stack = stack;
  fiber.waits_for = nullptr;
  fiber.done = false;
  m.running = &fiber;
  here = &fiber.place;
  (*m.body)();
  fiber.done = true;
  leave(m.block);
  leave(warp().group);
}

void run_fiber() {
  char* const stack = m.running->stack;
  run(*m.running, stack);
  while (m.begun < m.order.size()) run(m.fibers[m.order[m.begun++]], stack);
  m.stacks.give_back(stack);  // nobody begins before the next block
  void* nowhere;
  if (m.block.live == 0) shim_switch(&nowhere, m.caller);
  go_on_with(next_fiber(), &nowhere);
  std::abort();
}

void shuffle(std::vector<unsigned>& order) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[m.next_random() % i]);
}

void run_block(const dim3& at) {
  const auto count = static_cast<unsigned>(m.fibers.size());
  block_of_here = at;
  ++block_number;
  m.block = {};
  m.block.live = count;
  for (size_t i = 0; i < m.warps.size(); ++i) {
    m.warps[i].group = {};
    m.warps[i].group.live = std::min(32u, count - 32 * static_cast<unsigned>(i));
  }
  std::memset(m.dynamic.data(), kGarbage, m.dynamic.size());
  m.begun = 0;
  go_on_with(next_fiber(), &m.caller);
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
  void open() {
    const std::lock_guard lock(mutex_);
    protect((end_ + kPage - 1) / kPage * kPage, PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    protect(0, PROT_NONE);
  }
  size_t used() {
    std::lock_guard lock(mutex_);
    size_t sum = 0;
    for (const auto& [at, size] : used_) sum += size;
    return sum;
  }
  static constexpr size_t kBytes = size_t{4} << 30;
  static constexpr size_t kPage = size_t{2} << 20;  // large ones: their protection is changed often

 private:
  void reserve() {
    void* block = mmap(nullptr, kBytes + kPage, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) std::abort();
    base_ =
        reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(block) + kPage - 1) & ~(kPage - 1));
    madvise(base_, kBytes, MADV_HUGEPAGE);
  }
  // The first `bytes` are to be open, no others.
  void protect(size_t bytes, int how) {
    if (bytes == open_) return;
    mprotect(base_, std::max(bytes, open_), how);
    open_ = bytes;
  }

  std::mutex mutex_;
  char* base_ = nullptr;
  size_t end_ = 0, open_ = 0;
  std::map<size_t, size_t> used_, free_;  // by offset: bytes
};
Arena& arena() {
  static auto* instance = new Arena;
  return *instance;
}

// By one thread at a time. Changing the protection takes longer than most kernels: after a kernel
// it is left open most of the time, which kernel is a matter of chance.
class OpenArena {
 public:
  explicit OpenArena(bool may_stay_open = false) : lock_(mutex()), may_stay_open_(may_stay_open) {
    arena().open();
  }
  ~OpenArena() {
    if (!may_stay_open_ || m.next_random() % 16 == 0) arena().close();
  }

 private:
  static std::mutex& mutex() {
    static auto* instance = new std::mutex;
    return *instance;
  }
  std::lock_guard<std::mutex> lock_;
  bool may_stay_open_;
};

// What is queued. Work runs at once unless it is late, or something late is before it: that runs
// when somebody waits.
class Stream {
 public:
  void put(bool late, std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (!late && waiting_.empty()) return work();
    waiting_.push_back(std::move(work));
    ++queued_;
  }
  // How many have been queued.
  uint64_t end() {
    const std::lock_guard lock(mutex_);
    return queued_;
  }
  void run_until(uint64_t end) {
    const std::lock_guard lock(mutex_);
    for (; done_ < end; ++done_) {
      waiting_.front()();
      waiting_.pop_front();
    }
  }
  void run_all() { run_until(end()); }
  bool idle() {
    const std::lock_guard lock(mutex_);
    return waiting_.empty();
  }

 private:
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  uint64_t queued_ = 0, done_ = 0;
};
Stream& stream() {
  static auto* instance = new Stream;
  return *instance;
}

// Memory of the host that copies read and write late.
class Pinned {
 public:
  void* allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto* block = static_cast<char*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096));
    if (block) blocks_[block] = bytes;
    return block;
  }
  void release(void* block) {
    const std::lock_guard lock(mutex_);
    if (!stream().idle()) {
      std::fprintf(stderr, "shim: pinned memory is freed while copies wait\n");
      std::abort();
    }
    blocks_.erase(static_cast<const char*>(block));
    std::free(block);
  }
  bool holds(const void* p) {
    const std::lock_guard lock(mutex_);
    const auto* at = static_cast<const char*>(p);
    const auto after = blocks_.upper_bound(at);
    if (after == blocks_.begin()) return false;
    const auto& [block, bytes] = *std::prev(after);
    return at < block + bytes;
  }

 private:
  std::mutex mutex_;
  std::map<const char*, size_t> blocks_;
};
Pinned& pinned() {
  static auto* instance = new Pinned;
  return *instance;
}

void copy_lines(char* to, size_t to_step, const char* from, size_t from_step, size_t bytes,
                size_t lines) {
  const OpenArena open;
  for (size_t i = 0; i < lines; ++i) std::memmove(to + i * to_step, from + i * from_step, bytes);
}

// Memory of the host that is not pinned has been read, or written, on return.
void queue_copy(void* to_line, size_t to_step, const void* from_line, size_t from_step,
                size_t bytes, size_t lines, cudaMemcpyKind kind) {
  auto* const to = static_cast<char*>(to_line);
  const auto* const from = static_cast<const char*>(from_line);
  const bool late = pinned().holds(from) || pinned().holds(to);
  if (!late && kind == cudaMemcpyDeviceToHost) stream().run_all();
  if (late || kind != cudaMemcpyHostToDevice || stream().idle()) {
    return stream().put(late, [=] { copy_lines(to, to_step, from, from_step, bytes, lines); });
  }
  std::vector<char> held(bytes * lines);
  copy_lines(held.data(), bytes, from, from_step, bytes, lines);
  stream().put(false, [=, held = std::move(held)] {
    copy_lines(to, to_step, held.data(), bytes, bytes, lines);
  });
}

void run_blocks(const dim3& blocks, const dim3& threads, size_t shared_bytes,
                const std::function<void()>& body) {
  const unsigned count = threads.x * threads.y * threads.z;
  const OpenArena open(true);
  m.body = &body;
  m.dynamic.resize(shared_bytes + 64);
  m.fibers.resize(count);
  m.warps.resize((count + 31) / 32);
  m.order.resize(count);
  for (unsigned i = 0; i < count; ++i) {
    m.order[i] = i;
    const dim3 at(i % threads.x, i / threads.x % threads.y, i / (threads.x * threads.y));
    m.fibers[i].place = {at, threads, blocks, i};
  }
  shuffle(m.order);
  for (unsigned z = 0; z < blocks.z; ++z) {
    for (unsigned y = 0; y < blocks.y; ++y) {
      for (unsigned x = 0; x < blocks.x; ++x) run_block({x, y, z});
    }
  }
}

}  // namespace

void launch(const dim3& blocks, const dim3& threads, size_t shared_bytes,
            const std::function<void()>& body) {
  const unsigned count = threads.x * threads.y * threads.z;
  if (count == 0 || count > 1024 || blocks.x == 0 || blocks.y == 0 || blocks.z == 0 ||
      blocks.y > 65535 || blocks.z > 65535 || shared_bytes > 227 * 1024) {
    std::fprintf(stderr, "shim: no GPU runs blocks %u x %u x %u of %u threads with %zu bytes\n",
                 blocks.x, blocks.y, blocks.z, count, shared_bytes);
    std::abort();
  }
  stream().put(false, [=] { run_blocks(blocks, threads, shared_bytes, body); });
}

void barrier() { wait(m.block); }
void warp_barrier() { wait(warp().group); }

uint64_t exchange(uint64_t value, unsigned from) {
  // What is read here is written again two phases on, when every lane has read it.
  Warp& w = warp();
  uint64_t* const values = w.values[w.group.phase % 2];
  values[lane()] = value;
  warp_barrier();
  return values[from % 32];
}

const Words* share_words(const uint32_t* words, unsigned count) {
  Warp& w = warp();
  std::copy(words, words + count, w.words[lane()]);
  warp_barrier();
  return w.words;
}

void* dynamic_shared() {
  auto at = reinterpret_cast<uintptr_t>(m.dynamic.data());
  return reinterpret_cast<void*>((at + 15) & ~uintptr_t{15});
}

void fill_shared(void* memory, size_t bytes) { std::memset(memory, kGarbage, bytes); }

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
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  shim::stream().run_all();
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new uint64_t{0};
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *static_cast<uint64_t*>(event) = shim::stream().end();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  shim::stream().run_until(*static_cast<uint64_t*>(event));
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete static_cast<uint64_t*>(event);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** block, size_t bytes) {
  *block = shim::arena().allocate(bytes);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMallocManaged(void** block, size_t bytes) {
  *block = std::aligned_alloc(256, (bytes + 256) / 256 * 256);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* block) {
  shim::stream().run_all();
  if (block && !shim::arena().release(block)) std::free(block);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** block, size_t bytes, unsigned) {
  *block = shim::pinned().allocate(bytes);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* block) {
  shim::pinned().release(block);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  shim::queue_copy(to, bytes, from, bytes, bytes, 1, kind);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_step, const void* from, size_t from_step,
                              size_t bytes, size_t lines, cudaMemcpyKind kind, cudaStream_t) {
  shim::queue_copy(to, to_step, from, from_step, bytes, lines, kind);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* block, int value, size_t bytes, cudaStream_t) {
  shim::stream().put(false, [=] {
    const shim::OpenArena open;
    std::memset(block, value, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaSuccess                 ? "cudaSuccess"
         : error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
                                              : "cudaErrorNoDevice";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
