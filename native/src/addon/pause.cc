#include "addon/pause.h"

#include <chrono>

#include "addon/environment.h"
#include "base/platform.h"

namespace keyheads::addon {
namespace {

// A short function has ended before a sleeping thread would have been woken.
constexpr auto kSpin = std::chrono::microseconds(20);

}  // namespace

Outcome Pause::fire(const Context& ctx, size_t function, const FiringValues& values) {
  uint64_t firing;
  {
    std::lock_guard lock(mutex_);
    firing = ++firing_;
    outcome_ = Outcome::open;
  }
  home_->post([self = shared_from_this(), home = home_, job = job_, function, values,
               firing](Napi::Env env) { home->fire(env, job, function, values, self, firing); });

  const auto ended = [&] { return outcome_ != Outcome::open || ctx.cancelled->load(); };
  const auto until = std::chrono::steady_clock::now() + kSpin;
  while (!ended() && std::chrono::steady_clock::now() < until) relax();
  if (!ended()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, ended);
  }
  const Outcome outcome = outcome_;
  if (outcome == Outcome::open) check_cancelled(ctx);
  if (outcome == Outcome::failed) fail("HOOK_FAILED", "a function hook threw");
  return outcome;
}

void Pause::settle(uint64_t firing, Outcome outcome) {
  std::lock_guard lock(mutex_);
  if (firing != firing_) return;
  outcome_ = outcome;
  changed_.notify_one();
}

void Pause::wake() {
  std::lock_guard lock(mutex_);
  changed_.notify_one();
}

}  // namespace keyheads::addon
