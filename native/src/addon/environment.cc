#include "addon/environment.h"

namespace keyheads::addon {
namespace {

using Task = std::function<void(Napi::Env)>;

void run_task(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  if (!env) return;  // the environment is going down
  Napi::HandleScope scope(env);
  (*task)(env);
}

using Holder = std::shared_ptr<Environment>;

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

void Environment::begin(int64_t job, Napi::Value on_progress) {
  if (on_progress.IsFunction()) {
    progress_[job] = Napi::Persistent(on_progress.As<Napi::Function>());
  }
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, way_back_);
}

void Environment::end(int64_t job) {
  progress_.erase(job);
  if (--pending_ == 0) napi_unref_threadsafe_function(env_, way_back_);
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
