// One engine per process: a thread that runs jobs one after the other and owns the compute pool.
// It is never destroyed, so that unloading and exit are safe at any moment.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/context.h"

namespace keyheads {

struct Job {
  int64_t number = 0;
  const void* owner = nullptr;  // the environment it belongs to
  std::atomic<bool> cancelled{false};
  std::function<void(Context&)> work;  // on the engine thread; must not throw
  std::function<void(int64_t, int64_t)> progress;
  std::function<void()> on_cancel;  // any thread, after `cancelled` was set; may be empty
};

class Engine {
 public:
  static Engine& instance();

  void post(std::shared_ptr<Job> job);
  // The running or queued job of this owner with this number; unknown numbers are ignored.
  void cancel(const void* owner, int64_t number);
  void cancel_all(const void* owner);
  void set_threads(int threads);
  int threads();
  Isa isa() const { return isa_; }
  Pool& pool() { return *pool_; }

 private:
  Engine();
  void loop();
  template <class Which>
  void cancel_if(const Which& which);

  Isa isa_;
  Pool* pool_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::shared_ptr<Job> running_;
  std::atomic<int> wanted_threads_{-1};
  std::thread thread_;
};

}  // namespace keyheads
