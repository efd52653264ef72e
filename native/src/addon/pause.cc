#include "addon/pause.h"

#include "addon/environment.h"
#include "base/pool.h"
#include "base/spin.h"

namespace keyheads::addon {
namespace {

// How long this thread and the pool's wait for the end of a function before they sleep. A function
// that is in no cache takes 50 us to begin and end, and to be woken takes as long again.
constexpr auto kStayAwake = std::chrono::microseconds(200);

}  // namespace

// A JavaScript thread that is awake needs no CPU of ours, and most functions are short. One that
// sleeps is best woken by sleeping at once: it can then run on this thread's CPU, which takes a few
// microseconds, where waking an idle CPU takes tens. The pool's threads spin meanwhile, so that the
// others are not idle.
Outcome Pause::fire(const Context& ctx, size_t function, const FiringValues& values) {
  Call call{function, values, 0};
  bool attending;
  {
    std::lock_guard lock(mutex_);
    outcome_ = Outcome::open;
    call.firing = ++firing_;
    attending = attending_;
    if (attending) call_ = call;
  }
  const bool awake = attending && awake_;
  check_cancelled(ctx);
  ctx.pool->stay_awake(kStayAwake);
  if (attending) {
    called_.store(true, std::memory_order_release);
    changed_.notify_one();
  } else {
    post(call);
  }
  const std::atomic until = Clock::now() + kStayAwake;
  if (!awake || !spin([&] { return outcome_ != Outcome::open; }, until)) {
    outcome_.wait(Outcome::open);
  }
  const Outcome outcome = outcome_;
  if (outcome == Outcome::interrupted) check_cancelled(ctx);
  if (outcome == Outcome::failed) fail("HOOK_FAILED", "a function hook threw");
  return outcome;
}

void Pause::begin() {
  if (stay()) post(std::nullopt);
}

void Pause::post(std::optional<Call> call) {
  home_->post([self = shared_from_this(), home = home_, job = job_,
               call = std::move(call)](Napi::Env env) { home->attend(env, job, call, self); });
}

void Pause::end(Outcome outcome) {
  outcome_ = outcome;
  outcome_.notify_one();
}

void Pause::settle(uint64_t firing, Outcome outcome) {
  std::lock_guard lock(mutex_);
  if (firing == firing_ && outcome_ == Outcome::open) end(outcome);
}

std::optional<Call> Pause::next(Assistant& assistant, std::chrono::steady_clock::time_point until) {
  const auto called = [&] { return called_.load(std::memory_order_acquire); };
  std::unique_lock lock(mutex_);
  attending_ = true;
  awake_ = true;
  lock.unlock();
  assistant.wait(called, until);
  lock.lock();
  awake_ = false;
  changed_.wait_until(lock, until, [&] { return call_ || finished_; });
  // Still attending: a call that came through the event loop would not be seen in the next `next`.
  awake_ = call_.has_value();
  called_ = finished_;
  return std::exchange(call_, std::nullopt);
}

bool Pause::stay() {
  std::lock_guard lock(mutex_);
  attending_ = !finished_;
  awake_ = false;
  return attending_;
}

void Pause::come() {
  std::lock_guard lock(mutex_);
  attending_ = true;
  awake_ = true;
}

void Pause::leave() {
  std::unique_lock lock(mutex_);
  attending_ = false;
  awake_ = false;
  called_ = finished_;
  std::optional<Call> call = std::exchange(call_, std::nullopt);
  lock.unlock();
  if (call) post(std::move(call));
}

void Pause::wake() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  called_ = true;
  changed_.notify_one();
  if (outcome_ == Outcome::open) end(Outcome::interrupted);
}

void Pause::finish() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  called_ = true;
  changed_.notify_one();
}

}  // namespace keyheads::addon
