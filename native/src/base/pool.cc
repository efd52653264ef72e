#include "base/pool.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/cpu.h"
#include "base/platform.h"
#include "base/spin.h"

namespace keyheads {
namespace {

// How long a thread that assists waits for work before it leaves: the others' last chunks take
// their time, and to come back takes longer than for a worker to wake.
constexpr auto kPatience = std::chrono::milliseconds(1);

thread_local bool inside_chunk = false;
thread_local uint64_t pinned_for = 0;  // the setup_ that this thread's affinity was set for

bool pinning_allowed() {
  const char* value = std::getenv("KEYHEADS_PIN");
  return value == nullptr || std::string_view(value) != "0";
}

uint64_t next_setup() {
  static std::atomic<uint64_t> count{0};
  return ++count;
}

}  // namespace

Pool::Pool(int threads) { start(threads); }

Pool::~Pool() { stop(); }

void Pool::set_threads(int threads) {
  const std::lock_guard lock(running_);
  stop();
  start(threads);
}

void Pool::start(int threads) {
  if (threads < 0) fail("BAD_ARGUMENT", "number of threads is ", threads, ", expected 0 or more");
  const int count = threads == 0 ? default_threads() : threads;
  threads_ = count;
  pinned_ = count == static_cast<int>(allowed_cpus().size()) && pinning_allowed();
  setup_ = next_setup();
  stopping_ = false;
  for (int i = 1; i < count; ++i) workers_.emplace_back([this, i] { work_loop(i); });
}

void Pool::stop() {
  stopping_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  unpark();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

// index < 0: any allowed CPU
void Pool::pin(int index) const {
  const std::vector<int>& cpus = allowed_cpus();
  run_on(index < 0 ? cpus : std::vector<int>{cpus[static_cast<size_t>(index)]});
}

bool Pool::parked(int index) const { return index == 1 && guests_ > 0 && !stopping_; }

void Pool::unpark() {
  unparked_.fetch_add(1);
  unparked_.notify_all();
}

void Pool::work_loop(int index) {
  pin(pinned_ ? index : -1);
  uint32_t seen = 0;
  for (;;) {
    const uint32_t unparked = unparked_;
    if (parked(index)) {
      unparked_.wait(unparked);
      continue;
    }
    const auto changed = [&] {
      return generation_.load(std::memory_order_acquire) != seen || parked(index);
    };
    if (!spin(changed, awake_until_)) generation_.wait(seen, std::memory_order_acquire);
    if (parked(index)) continue;
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_) return;
    if (index == 1) busy_ = true;
    work(seen, index);
    if (index != 1) continue;
    busy_ = false;
    if (guests_ > 0) busy_.notify_all();
  }
}

// After a claim succeeds, fn_, data_ and count_ cannot change until that chunk is done.
bool Pool::claim(uint32_t generation, int64_t& i) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const auto left = static_cast<uint32_t>(ticket);
    if (static_cast<uint32_t>(ticket >> 32) != generation || left == 0) return false;
    if (ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) {
      i = count_ - left;
      return true;
    }
  }
}

void Pool::work(uint32_t generation, int index) {
  int64_t i = 0;
  inside_chunk = true;
  while (!parked(index) && claim(generation, i)) {
    try {
      if (!skip_.load(std::memory_order_relaxed)) fn_(data_, i);
    } catch (...) {
      const std::lock_guard lock(failed_);
      if (!exception_) exception_ = std::current_exception();
      skip_.store(true, std::memory_order_relaxed);
    }
    completed_.fetch_add(1, std::memory_order_release);
  }
  inside_chunk = false;
}

void Assistant::join() {
  pool_.guests_.fetch_add(1);
  joined_ = true;
  // On one CPU with a worker in its last chunk, this thread would keep it from ending that.
  while (pool_.busy_) pool_.busy_.wait(true);
  pinned_ = pool_.pinned_;
  if (pinned_) pool_.pin(1);
}

void Assistant::leave() {
  if (!joined_) return;
  joined_ = false;
  pool_.guests_.fetch_sub(1);
  pool_.unpark();
  if (pinned_) pool_.pin(-1);
}

bool Assistant::wait(const std::function<bool()>& done, Clock::time_point until) {
  if (pool_.threads_ == 1) return done();
  if (!joined_) join();
  const auto generation = [&] { return pool_.generation_.load(std::memory_order_acquire); };
  for (;;) {
    const uint32_t seen = generation();
    pool_.work(seen, 0);
    const auto ready = [&] { return done() || generation() != seen; };
    const std::atomic bored = std::min(until, Clock::now() + kPatience);
    if (!spin(ready, bored)) leave();
    if (done() || !joined_ || Clock::now() >= until) return done();
  }
}

void Pool::stay_awake(std::chrono::microseconds time) {
  awake_until_.store(Clock::now() + time, std::memory_order_relaxed);
}

void Pool::run(int64_t count, void (*fn)(void* data, int64_t i), void* data) {
  if (count <= 1 || inside_chunk || threads_ == 1) {
    for (int64_t i = 0; i < count; ++i) fn(data, i);
    return;
  }
  if (count > UINT32_MAX) fail("INTERNAL", "pool: ", count, " chunks are too many");
  const std::lock_guard lock(running_);
  if (pinned_for != setup_) {
    if (pinned_ || pinned_for != 0) pin(pinned_ ? 0 : -1);
    pinned_for = setup_;
  }
  fn_ = fn;
  data_ = data;
  count_ = count;
  completed_.store(0, std::memory_order_relaxed);
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  ticket_.store(static_cast<uint64_t>(generation) << 32 | static_cast<uint64_t>(count),
                std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  work(generation, 0);
  const auto all_done = [&] { return completed_.load(std::memory_order_acquire) == count; };
  while (!spin(all_done)) std::this_thread::yield();
  if (exception_) {
    skip_ = false;
    std::rethrow_exception(std::exchange(exception_, nullptr));
  }
}

}  // namespace keyheads
