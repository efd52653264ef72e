#include "addon/pause.h"

#include "addon/environment.h"
#include "base/pool.h"

namespace keyheads::addon {
namespace {

// How long the pool's threads wait for the end of a function before they sleep.
constexpr auto kStayAwake = std::chrono::microseconds(200);

}  // namespace

// Sleeps at once, without spinning: the JavaScript thread can then run on this thread's CPU, which
// takes a few microseconds, where waking an idle CPU takes tens. The pool's threads spin meanwhile,
// so that the others are not idle.
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
  check_cancelled(ctx);
  ctx.pool->stay_awake(kStayAwake);
  if (attending) {
    changed_.notify_one();
  } else {
    home_->post([self = shared_from_this(), home = home_, job = job_, call](Napi::Env env) {
      home->fire(env, job, call, self);
    });
  }
  outcome_.wait(Outcome::open);
  const Outcome outcome = outcome_;
  if (outcome == Outcome::interrupted) check_cancelled(ctx);
  if (outcome == Outcome::failed) fail("HOOK_FAILED", "a function hook threw");
  return outcome;
}

void Pause::end(Outcome outcome) {
  outcome_ = outcome;
  outcome_.notify_one();
}

void Pause::settle(uint64_t firing, Outcome outcome) {
  std::lock_guard lock(mutex_);
  if (firing == firing_ && outcome_ == Outcome::open) end(outcome);
}

std::optional<Call> Pause::next(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  attending_ = true;
  changed_.wait_until(lock, until, [&] { return call_ || finished_; });
  attending_ = false;
  return std::exchange(call_, std::nullopt);
}

void Pause::wake() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_one();
  if (outcome_ == Outcome::open) end(Outcome::interrupted);
}

void Pause::finish() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_one();
}

}  // namespace keyheads::addon
