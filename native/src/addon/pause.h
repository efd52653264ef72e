// Function hooks of one call: the engine thread waits here while the JavaScript thread runs a
// function on the values of a site.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "base/context.h"
#include "base/pool.h"

namespace keyheads::addon {

class Environment;

// The values that a function sees; `memory` keeps them while JavaScript may still look at them.
struct FiringValues {
  std::shared_ptr<void> memory;
  void* data;
  size_t count;
  bool wide;  // double
};

enum class Outcome : uint32_t { open, interrupted, edited, replaced, failed };

// A function that is to run now.
struct Call {
  size_t function;
  FiringValues values;
  uint64_t firing;
};

class Pause : public std::enable_shared_from_this<Pause> {
 public:
  Pause(std::shared_ptr<Environment> home, int64_t job) : home_(std::move(home)), job_(job) {}

  // Engine thread: the run begins, so the JavaScript thread may come and attend.
  void begin();

  // Engine thread: has the JavaScript thread run function number `function` of this call, and waits
  // for its end. Throws CANCELLED when the call is, HOOK_FAILED when the function threw.
  Outcome fire(const Context& ctx, size_t function, const FiringValues& values);

  // JavaScript thread: the function of this firing has ended. Late ends are ignored.
  void settle(uint64_t firing, Outcome outcome);

  // JavaScript thread: the next firing if it comes before `until`, and before the run's end.
  // Meanwhile the thread computes: a function then runs on a thread that is awake,
  // while the engine thread waits awake too, and nobody has to be woken. Afterwards it is taken to
  // come again, until `leave`.
  std::optional<Call> next(Assistant& assistant, std::chrono::steady_clock::time_point until);

  // The JavaScript thread will soon be in `next`, through the event loop; false if the run has
  // ended.
  bool stay();

  // JavaScript thread: it is here, with a call that was posted, and will be in `next`.
  void come();

  // JavaScript thread: it will not be in `next`; calls are to be posted, as one is that has come.
  void leave();

  // Any thread, after the call's cancel flag was set: ends the waiting of both threads.
  void wake();

  // Engine thread: nothing will fire any more.
  void finish();

 private:
  // Has the JavaScript thread run this function, if there is one, and attend to those that follow.
  void post(std::optional<Call> call);
  void end(Outcome outcome);

  std::shared_ptr<Environment> home_;
  int64_t job_;
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  // The JavaScript thread is in `next`, or on its way there, perhaps in a function.
  bool attending_ = false;
  std::atomic<bool> awake_{false};   // and not asleep
  std::atomic<bool> called_{false};  // there is a call for it, or the end
  bool finished_ = false;
  std::optional<Call> call_;  // for it
  uint64_t firing_ = 0;
  std::atomic<Outcome> outcome_{Outcome::open};  // the engine thread waits for a change
};

}  // namespace keyheads::addon
