// The compute threads. Work is claimed in chunks with an atomic ticket, and a caller waits for its
// chunks, not for threads: a worker that the system has put aside costs nothing unless it holds a
// chunk. Workers spin for about 50 us before they sleep, since ops follow each other closely.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace keyheads {

class Pool {
 public:
  // Number of threads, the caller of run() included; 0 is default_threads().
  explicit Pool(int threads = 0);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Waits for a running call. Threads are pinned, each to a CPU of its own, when there are as many
  // as allowed CPUs (otherwise two can stay on one CPU for a long time); KEYHEADS_PIN=0 prevents
  // it.
  void set_threads(int threads);
  int threads() const { return threads_; }

  // fn(data, i) for every i in [0, count), on all threads; returns when all are done. Rethrows the
  // first exception of a chunk (the chunks not yet begun are skipped). From inside a chunk, runs
  // everything on the calling thread.
  void run(int64_t count, void (*fn)(void* data, int64_t i), void* data);

  // Workers that have not yet gone to sleep wait for work for so long from now.
  void stay_awake(std::chrono::microseconds time);

 private:
  friend class Assistant;

  void start(int threads);
  void stop();
  void work_loop(int index);
  bool claim(uint32_t generation, int64_t& i);
  // All chunks that are left, unless thread number `index` is to be parked.
  void work(uint32_t generation, int index);
  void pin(int index) const;
  // Whether this worker's place is taken by a thread that assists.
  bool parked(int index) const;
  void unpark();

  std::atomic<int> threads_{1};  // changes under running_; read without it
  std::atomic<bool> pinned_{false};
  uint64_t setup_ = 0;  // identifies this pool and its number of threads to the caller's pinning
  std::mutex running_;
  std::vector<std::thread> workers_;

  void (*fn_)(void*, int64_t) = nullptr;
  void* data_ = nullptr;
  int64_t count_ = 0;
  std::mutex failed_;
  std::exception_ptr exception_;

  alignas(64) std::atomic<uint32_t> generation_{0};
  std::atomic<std::chrono::steady_clock::time_point> awake_until_{};
  std::atomic<bool> stopping_{false};
  std::atomic<int> guests_{0};                   // threads that assist
  std::atomic<bool> busy_{false};                // the worker whose place they take computes
  std::atomic<uint32_t> unparked_{0};            // counts the ends of parking
  alignas(64) std::atomic<uint64_t> ticket_{0};  // generation << 32 | chunks not yet claimed
  alignas(64) std::atomic<int64_t> completed_{0};
  std::atomic<bool> skip_{false};
};

// Lets a thread that is none of the pool's compute while it waits, in place of a worker, which
// sleeps meanwhile. With one thread it never computes.
class Assistant {
 public:
  explicit Assistant(Pool& pool) : pool_(pool) {}
  ~Assistant() { leave(); }
  Assistant(const Assistant&) = delete;
  Assistant& operator=(const Assistant&) = delete;

  // Computes until `done()` or `until`, or until there was nothing to do for so long that the
  // thread is better off asleep: then the worker is back. Returns whether done.
  bool wait(const std::function<bool()>& done, std::chrono::steady_clock::time_point until);

 private:
  void join();
  void leave();

  Pool& pool_;
  bool joined_ = false;
  bool pinned_ = false;
};

}  // namespace keyheads
