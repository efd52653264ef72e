#include "addon/environment.h"

#include <chrono>
#include <cstring>

namespace keyheads::addon {
namespace {

using Task = std::function<void(Napi::Env)>;

// False once the environment is being stopped. Then every call into JavaScript fails, and
// node-addon-api aborts the process where it cannot make an error of that.
bool can_run(napi_env env) {
  napi_value global;
  bool has;
  return napi_get_global(env, &global) == napi_ok &&
         napi_has_named_property(env, global, "Object", &has) == napi_ok;
}

void run_task(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  if (!env || !can_run(env)) return;
  Napi::HandleScope scope(env);
  (*task)(env);
}

using Holder = std::shared_ptr<Environment>;

// Up to here a copy into memory of the JavaScript engine and back costs less than an array on
// memory of its own, which needs a finaliser.
constexpr size_t kCopyBytes = 65536;

// The longest time that functions of one run, one after the other, keep the event loop waiting.
constexpr auto kAwayFromLoop = std::chrono::milliseconds(50);

Napi::ArrayBuffer array_of(Napi::Env env, const FiringValues& values, size_t bytes, bool copied) {
  if (copied) {
    Napi::ArrayBuffer array = Napi::ArrayBuffer::New(env, bytes);
    std::memcpy(array.Data(), values.data, bytes);
    return array;
  }
  auto* owner = new std::shared_ptr<void>(values.memory);
  return Napi::ArrayBuffer::New(
      env, values.data, bytes, [](Napi::Env, void*, std::shared_ptr<void>* held) { delete held; },
      owner);
}

size_t bytes_of(const FiringValues& values) {
  return values.count * (values.wide ? sizeof(double) : sizeof(float));
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Value().As<Napi::Object>().Set("code", code);
  return error;
}

void Environment::attach(Napi::Env env) {
  auto* holder = new Holder(std::make_shared<Environment>());
  Environment& e = **holder;
  e.env_ = env;
  e.later_ = Napi::Persistent(env.Global().Get("setImmediate").As<Napi::Function>());
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "keyheads"), 0, 1,
                                  nullptr, nullptr, nullptr, run_task, &e.way_back_);
  napi_unref_threadsafe_function(env, e.way_back_);
  napi_set_instance_data(
      env, holder, [](napi_env, void* data, void*) { delete static_cast<Holder*>(data); }, nullptr);
  // Added after the thread-safe function, so that it runs before that one's own clean-up.
  napi_add_env_cleanup_hook(
      env, [](void* data) { static_cast<Environment*>(data)->close(); }, &e);
}

std::shared_ptr<Environment> Environment::of(Napi::Env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Holder*>(data);
}

void Environment::close() {
  Engine::instance().cancel_all(this);
  progress_.clear();
  functions_.clear();
  firings_.clear();
  later_.Reset();
  std::lock_guard lock(mutex_);
  closed_ = true;
  napi_release_threadsafe_function(way_back_, napi_tsfn_abort);
}

const Handle& Environment::at(int handle) const {
  const auto found = handles_.find(handle);
  if (found == handles_.end()) {
    fail("DISPOSED", "handle ", handle, " is not open: its model, cache or trainer was disposed");
  }
  return found->second;
}

void Environment::post(Task task) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  auto* data = new Task(std::move(task));
  if (napi_call_threadsafe_function(way_back_, data, napi_tsfn_nonblocking) != napi_ok) {
    delete data;
  }
}

void Environment::begin(int64_t job, Napi::Value on_progress,
                        const std::vector<Napi::Function>& functions) {
  for (const Napi::Function& f : functions) functions_[job].push_back(Napi::Persistent(f));
  if (on_progress.IsFunction()) {
    progress_[job] = Napi::Persistent(on_progress.As<Napi::Function>());
  }
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, way_back_);
}

void Environment::end(int64_t job) {
  progress_.erase(job);
  functions_.erase(job);
  const auto open = firings_.find(job);
  if (open != firings_.end()) settle(job, open->second.number, Outcome::failed);
  if (--pending_ == 0) napi_unref_threadsafe_function(env_, way_back_);
}

// Between two functions this thread waits for the engine's without going through the event loop,
// whose way back costs more than most functions; but it takes its turn now and then. The way back
// alone does not give it one: it serves what was posted meanwhile before it returns to the loop.
void Environment::fire(Napi::Env env, int64_t job, Call call, const std::shared_ptr<Pause>& pause) {
  if (overdue_) {
    overdue_ = false;
    later_.Call({Napi::Function::New(
        env, [self = shared_from_this(), job, call, pause](const Napi::CallbackInfo& info) {
          self->fire(info.Env(), job, call, pause);
        })});
    return;
  }
  const auto until = std::chrono::steady_clock::now() + kAwayFromLoop;
  std::optional<Call> next = std::move(call);
  while (next) {
    Napi::HandleScope scope(env);
    if (!run_function(env, job, *next, pause)) break;
    next = pause->next(until);
  }
  overdue_ = std::chrono::steady_clock::now() >= until;
}

bool Environment::run_function(Napi::Env env, int64_t job, const Call& call,
                               const std::shared_ptr<Pause>& pause) {
  const auto& [function, values, firing] = call;
  const auto functions = functions_.find(job);
  if (functions == functions_.end()) return false;  // the call was cancelled and has ended
  const size_t bytes = bytes_of(values);
  const bool copied = bytes <= kCopyBytes;
  const Napi::ArrayBuffer array = array_of(env, values, bytes, copied);
  firings_[job] = {Napi::Reference<Napi::ArrayBuffer>::New(array, 1), values, copied, pause,
                   firing};
  const Napi::Value view =
      values.wide ? Napi::Float64Array::New(env, values.count, array, 0).As<Napi::Value>()
                  : Napi::Float32Array::New(env, values.count, array, 0);
  const auto outcome_of = [](const Napi::Value& returned) {
    return returned.IsBoolean() && returned.As<Napi::Boolean>() ? Outcome::replaced
                                                                : Outcome::edited;
  };
  napi_value argument = view, result = nullptr;
  firing_ = true;
  const napi_status status = napi_call_function(
      env, env.Undefined(), functions->second[function].Value(), 1, &argument, &result);
  firing_ = false;
  if (status != napi_ok) {
    napi_get_and_clear_last_exception(env, &result);
    settle(job, firing, Outcome::failed);
    return false;
  }
  try {
    const Napi::Value returned(env, result);
    if (!returned.IsPromise()) {
      settle(job, firing, outcome_of(returned));
      return true;
    }
    const auto home = shared_from_this();
    const auto resolved =
        Napi::Function::New(env, [=, firing = firing](const Napi::CallbackInfo& info) {
          home->settle(job, firing, outcome_of(info[0]));
        });
    const auto rejected = Napi::Function::New(env, [=, firing = firing](const Napi::CallbackInfo&) {
      home->settle(job, firing, Outcome::failed);
    });
    const auto promise = returned.As<Napi::Object>();
    promise.Get("then").As<Napi::Function>().Call(promise, {resolved, rejected});
  } catch (const Napi::Error&) {
    settle(job, firing, Outcome::failed);
  }
  return false;
}

void Environment::settle(int64_t job, uint64_t firing, Outcome outcome) {
  const auto found = firings_.find(job);
  if (found == firings_.end() || found->second.number != firing) return;
  const Firing ended = std::move(found->second);
  firings_.erase(found);
  Napi::ArrayBuffer array = ended.array.Value();
  const size_t bytes = bytes_of(ended.values);
  if (outcome != Outcome::failed && array.ByteLength() != bytes) {
    outcome = Outcome::failed;  // the function gave its memory away
  } else if (outcome != Outcome::failed && ended.copied) {
    std::memcpy(ended.values.data, array.Data(), bytes);
  }
  if (!array.IsDetached()) array.Detach();
  ended.pause->settle(firing, outcome);
}

void Environment::report_progress(Napi::Env env, int64_t job, double done, double total) {
  const auto found = progress_.find(job);
  if (found == progress_.end()) return;
  try {
    found->second.Call({Napi::Number::New(env, done), Napi::Number::New(env, total)});
  } catch (const Napi::Error&) {
    // What a progress callback throws is no reason to fail the work it watches.
  }
}

}  // namespace keyheads::addon
