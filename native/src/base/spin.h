// Waiting without sleeping, for what comes in microseconds: waking a thread takes longer.
#pragma once
#include <atomic>
#include <chrono>

#include "base/platform.h"

namespace keyheads {

using Clock = std::chrono::steady_clock;

constexpr auto kSpin = std::chrono::microseconds(50);

// Spins until done(), or until kSpin and `until` have both passed; the clock is read now and then
// only. Returns whether done.
template <class Done>
bool spin(const Done& done, const std::atomic<Clock::time_point>& until) {
  const auto end = Clock::now() + kSpin;
  Clock::time_point now;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      relax();
    }
    now = Clock::now();
  } while (now < end || now < until.load(std::memory_order_relaxed));
  return false;
}

template <class Done>
bool spin(const Done& done) {
  static const std::atomic<Clock::time_point> never{};
  return spin(done, never);
}

}  // namespace keyheads
