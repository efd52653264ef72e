#include "addon/engine.h"

#include "base/cpu.h"
#include "base/device.h"
#include "base/memory.h"
#include "base/pool.h"

namespace keyheads {

namespace {
// Freed blocks that are kept between jobs, so that a loop of small calls finds its memory again.
constexpr size_t kKeptBytes = size_t{512} << 20;
constexpr size_t kKeptOnDevice = size_t{4} << 30;
}  // namespace

Engine& Engine::instance() {
  static auto* engine = new Engine;
  return *engine;
}

Engine::Engine() : isa_(detect_isa()), pool_(new Pool(default_threads())) {
  thread_ = std::thread([this] { loop(); });
  thread_.detach();
}

void Engine::post(std::shared_ptr<Job> job) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
}

template <class Which>
void Engine::cancel_if(const Which& which) {
  std::lock_guard lock(mutex_);
  const auto mark = [&](const std::shared_ptr<Job>& job) {
    if (!job || !which(*job)) return;
    job->cancelled = true;
    if (job->on_cancel) job->on_cancel();
  };
  mark(running_);
  for (const auto& job : queue_) mark(job);
}

void Engine::cancel(const void* owner, int64_t number) {
  cancel_if([&](const Job& job) { return job.owner == owner && job.number == number; });
}

void Engine::cancel_all(const void* owner) {
  cancel_if([&](const Job& job) { return job.owner == owner; });
}

void Engine::set_threads(int threads) { wanted_threads_ = threads; }

int Engine::threads() {
  const int wanted = wanted_threads_;
  if (wanted < 0) return pool_->threads();
  return wanted == 0 ? default_threads() : wanted;
}

void Engine::loop() {
  Device* device = nullptr;  // that of the last job that had one
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      running_ = nullptr;
      if (queue_.empty()) {
        lock.unlock();
        trim_memory(kKeptBytes);
        if (device) trim_memory(kKeptOnDevice, *device);
        lock.lock();
      }
      wake_.wait(lock, [this] { return !queue_.empty(); });
      running_ = queue_.front();
      queue_.pop_front();
    }
    const int wanted = wanted_threads_.exchange(-1);
    if (wanted >= 0) pool_->set_threads(wanted);
    Context ctx{.isa = isa_,
                .pool = pool_,
                .cancelled = &running_->cancelled,
                .progress = running_->progress};
    running_->work(ctx);
    if (ctx.device) device = ctx.device;
    running_->work = nullptr;  // drops what the job held before the next one runs
  }
}

}  // namespace keyheads
