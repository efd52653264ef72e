// What belongs to one JavaScript environment (the main thread, or a worker): its handles, its way
// back from the engine thread, and the promises that are under way.
#pragma once
#include <napi.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "addon/engine.h"
#include "addon/pause.h"
#include "base/check.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "train/trainer.h"

namespace keyheads::addon {

// Where the runs of a model compute, and the bytes that they may take there (0: no limit).
struct Place {
  int64_t memory_budget = 0;
  Device* device = nullptr;  // null: the CPU
  bool tf32 = false;         // of the device
};

template <class T>
struct LoadedModel {
  std::shared_ptr<Model<T>> model;
  Place place;
};
template <class T>
struct LoadedCache {
  std::shared_ptr<KvCache<T>> cache;
};
template <class T>
struct LoadedTrainer {
  std::shared_ptr<Trainer<T>> trainer;
  Place place;
};
using Handle = std::variant<LoadedModel<float>, LoadedModel<double>, LoadedCache<float>,
                            LoadedCache<double>, LoadedTrainer<float>, LoadedTrainer<double>>;

class Environment : public std::enable_shared_from_this<Environment> {
 public:
  static std::shared_ptr<Environment> of(Napi::Env env);
  static void attach(Napi::Env env);

  int add(Handle handle) {
    handles_[next_] = std::move(handle);
    return next_++;
  }
  bool remove(int handle) { return handles_.erase(handle) > 0; }
  const Handle& at(int handle) const;

  // From any thread: runs on the JavaScript thread, unless the environment is gone.
  void post(std::function<void(Napi::Env)> task);

  // JavaScript thread only. While promises are under way the event loop stays alive.
  void begin(int64_t job, Napi::Value on_progress, const std::vector<Napi::Function>& functions);
  void end(int64_t job);
  void report_progress(Napi::Env env, int64_t job, double done, double total);
  // Runs a function hook of a call that is under way, if there is one now, and those that follow
  // soon; tells `pause` when one, or the promise that it returned, has ended. The array it was
  // given is detached then, at the latest when the call ends.
  void attend(Napi::Env env, int64_t job, std::optional<Call> call,
              const std::shared_ptr<Pause>& pause);
  // Whether JavaScript is inside a function hook, where a call would wait for itself.
  bool firing() const { return firing_; }

 private:
  // The array that a function is given: memory of its own up to kCopyBytes, else the engine's.
  struct Numbers {
    // Empty where the environment refuses.
    static std::optional<Numbers> make(napi_env env, size_t count, bool wide, napi_value array);

    size_t count;
    bool wide;
    Napi::Reference<Napi::ArrayBuffer> memory;
    Napi::Reference<Napi::TypedArray> view;
  };
  // What the JavaScript thread holds for a function hook that has not ended yet.
  struct Firing {
    Numbers numbers;
    FiringValues values;
    std::shared_ptr<Pause> pause;
    uint64_t number;
  };
  void close();
  // `first`: since the event loop called. Whether the function has ended well, and not merely given
  // a promise.
  bool run_function(Napi::Env env, int64_t job, Call call, const std::shared_ptr<Pause>& pause,
                    bool first);
  std::optional<Numbers> numbers_for(napi_env env, const FiringValues& values);
  void make_spare(napi_env env, size_t count, bool wide);
  void attend_later(Napi::Env env, int64_t job, std::optional<Call> call,
                    const std::shared_ptr<Pause>& pause);
  // Ends the firing of this job, if it is this one: detaches its array and lets the engine go on.
  void settle(int64_t job, uint64_t firing, Outcome outcome);

  std::map<int, Handle> handles_;
  int next_ = 1;
  std::map<int64_t, Napi::FunctionReference> progress_;
  std::map<int64_t, std::vector<Napi::FunctionReference>> functions_;
  std::map<int64_t, Firing> firings_;
  // For the next function, made while the engine computes: most are given as many as the one
  // before.
  std::optional<Numbers> spare_;
  bool firing_ = false;
  // Functions have kept the event loop waiting as long as they may: the next one lets it turn
  // first.
  bool overdue_ = false;
  Napi::FunctionReference later_;  // setImmediate
  int pending_ = 0;
  napi_env env_ = nullptr;
  std::mutex mutex_;
  bool closed_ = false;
  napi_threadsafe_function way_back_ = nullptr;
};

Napi::Error to_js_error(Napi::Env env, const std::string& code, const std::string& message);

}  // namespace keyheads::addon
