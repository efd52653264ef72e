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
  try {
    (*task)(env);
  } catch (const Napi::Error&) {
    // The environment is being stopped meanwhile, and nobody waits for what it refuses.
  }
}

using Holder = std::shared_ptr<Environment>;

// Up to here a copy into memory of the JavaScript engine and back costs less than an array on
// memory of its own, which needs a finaliser.
constexpr size_t kCopyBytes = 65536;

// The longest time that functions of one run, one after the other, keep the event loop waiting.
constexpr auto kAwayFromLoop = std::chrono::milliseconds(50);

size_t bytes_of(size_t count, bool wide) { return count * (wide ? sizeof(double) : sizeof(float)); }

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
  spare_.reset();
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
void Environment::attend(Napi::Env env, int64_t job, std::optional<Call> call,
                         const std::shared_ptr<Pause>& pause) {
  if (overdue_) {
    overdue_ = false;
    attend_later(env, job, std::move(call), pause);
    return;
  }
  const auto until = std::chrono::steady_clock::now() + kAwayFromLoop;
  Assistant assistant(Engine::instance().pool());
  if (call) {
    pause->come();
  } else {
    call = pause->next(assistant, until);
  }
  bool fired = false;
  for (; call && !overdue_; fired = true) {
    Napi::HandleScope scope(env);
    if (!run_function(env, job, *std::move(call), pause, !fired)) return pause->leave();
    overdue_ = std::chrono::steady_clock::now() >= until;
    call = overdue_ ? std::nullopt : pause->next(assistant, until);
  }
  overdue_ = std::chrono::steady_clock::now() >= until;
  // Where functions follow each other that fast, more will come.
  if (!overdue_ || !fired || !can_run(env) || !pause->stay()) return pause->leave();
  overdue_ = false;
  attend_later(env, job, std::nullopt, pause);
}

void Environment::attend_later(Napi::Env env, int64_t job, std::optional<Call> call,
                               const std::shared_ptr<Pause>& pause) {
  later_.Call({Napi::Function::New(
      env, [self = shared_from_this(), job, call, pause](const Napi::CallbackInfo& info) {
        self->attend(info.Env(), job, call, pause);
      })});
}

// Plain calls with a status: an environment that is being stopped refuses them.
std::optional<Environment::Numbers> Environment::Numbers::make(napi_env env, size_t count,
                                                               bool wide, napi_value array) {
  napi_value view;
  if (napi_create_typedarray(env, wide ? napi_float64_array : napi_float32_array, count, array, 0,
                             &view) != napi_ok) {
    return std::nullopt;
  }
  return Numbers{count, wide, Napi::Reference<Napi::ArrayBuffer>::New({env, array}, 1),
                 Napi::Reference<Napi::TypedArray>::New({env, view}, 1)};
}

void Environment::make_spare(napi_env env, size_t count, bool wide) {
  void* data;
  napi_value array;
  const size_t bytes = bytes_of(count, wide);
  if (napi_create_arraybuffer(env, bytes, &data, &array) == napi_ok) {
    spare_ = Numbers::make(env, count, wide, array);
  }
}

std::optional<Environment::Numbers> Environment::numbers_for(napi_env env,
                                                             const FiringValues& values) {
  const size_t bytes = bytes_of(values.count, values.wide);
  if (bytes > kCopyBytes) {
    auto* owner = new std::shared_ptr<void>(values.memory);
    const auto let_go = [](napi_env, void*, void* held) {
      delete static_cast<std::shared_ptr<void>*>(held);
    };
    napi_value array;
    if (napi_create_external_arraybuffer(env, values.data, bytes, let_go, owner, &array) !=
        napi_ok) {
      delete owner;
      return std::nullopt;
    }
    return Numbers::make(env, values.count, values.wide, array);
  }
  if (!spare_ || spare_->count != values.count || spare_->wide != values.wide) {
    make_spare(env, values.count, values.wide);
  }
  std::optional<Numbers> out = std::exchange(spare_, std::nullopt);
  if (out) std::memcpy(out->memory.Value().Data(), values.data, bytes);
  return out;
}

bool Environment::run_function(Napi::Env env, int64_t job, Call call,
                               const std::shared_ptr<Pause>& pause, bool first) {
  const auto [function, values, firing] = std::move(call);
  const auto functions = functions_.find(job);
  if (functions == functions_.end()) return false;  // the call was cancelled and has ended
  std::optional<Numbers> numbers = numbers_for(env, values);
  if (!numbers) {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    pause->settle(firing, Outcome::failed);
    return false;
  }
  const napi_value arguments[] = {numbers->view.Value(), Napi::Boolean::New(env, first)};
  firings_.insert_or_assign(job, Firing{*std::move(numbers), values, pause, firing});
  const auto outcome_of = [](const Napi::Value& returned) {
    return returned.IsBoolean() && returned.As<Napi::Boolean>() ? Outcome::replaced
                                                                : Outcome::edited;
  };
  napi_value result = nullptr;
  firing_ = true;
  const napi_status status = napi_call_function(
      env, env.Undefined(), functions->second[function].Value(), 2, arguments, &result);
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
      if (!spare_ && bytes_of(values.count, values.wide) <= kCopyBytes) {
        make_spare(env, values.count, values.wide);
      }
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
  Firing ended = std::move(found->second);
  firings_.erase(found);
  Napi::ArrayBuffer array = ended.numbers.memory.Value();
  const size_t bytes = bytes_of(ended.values.count, ended.values.wide);
  if (outcome != Outcome::failed && array.ByteLength() != bytes) {
    outcome = Outcome::failed;  // the function gave its memory away
  } else if (outcome != Outcome::failed && bytes <= kCopyBytes) {
    std::memcpy(ended.values.data, array.Data(), bytes);
  }
  ended.values.memory.reset();
  ended.pause->settle(firing, outcome);
  if (!array.IsDetached()) array.Detach();
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
