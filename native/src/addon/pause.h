// Function hooks of one call: the engine thread waits here while the JavaScript thread runs a
// function on the values of a site.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/context.h"

namespace keyheads::addon {

class Environment;

// The values that a function sees; `memory` keeps them while JavaScript may still look at them.
struct FiringValues {
  std::shared_ptr<void> memory;
  void* data;
  size_t count;
  bool wide;  // double
};

enum class Outcome : uint8_t { open, edited, replaced, failed };

class Pause : public std::enable_shared_from_this<Pause> {
 public:
  Pause(std::shared_ptr<Environment> home, int64_t job) : home_(std::move(home)), job_(job) {}

  // Engine thread: has the JavaScript thread run function number `function` of this call, and waits
  // for its end. Throws CANCELLED when the call is, HOOK_FAILED when the function threw.
  Outcome fire(const Context& ctx, size_t function, const FiringValues& values);

  // JavaScript thread: the function of this firing has ended. Late ends are ignored.
  void settle(uint64_t firing, Outcome outcome);

  // Any thread: the waiting engine thread looks at its cancel flag.
  void wake();

 private:
  std::shared_ptr<Environment> home_;
  int64_t job_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t firing_ = 0;
  std::atomic<Outcome> outcome_{Outcome::open};
};

}  // namespace keyheads::addon
