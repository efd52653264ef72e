// One way to do all work: plain C++ values in, a job on the engine thread, a promise out.
#pragma once
#include <chrono>
#include <optional>

#include "addon/environment.h"
#include "addon/plan.h"
#include "addon/read.h"
#include "base/device.h"
#include "base/parallel.h"

namespace keyheads::addon {

struct Control {
  int64_t job;
  Napi::Value on_progress;
  std::vector<Napi::Function> functions;  // function hooks, by their number
  std::shared_ptr<Pause> pause;           // where they run; null without any
  bool plan = false;                      // count the memory instead of running
};
Control to_control(const Napi::Value& value);

// Runs work(ctx) at a place, on the engine thread, and settles a promise with to_js(env,
// environment, result) on the JavaScript thread. `work` captures plain C++ values only. A run that
// is Planned can be asked for its memory instead; with a budget, it is planned first. `find` gives
// the place on the engine thread, where devices are opened.
enum class Planned : uint8_t { no, yes };
template <Planned planned = Planned::no, class Find, class Work, class ToJs>
Napi::Value run_where(Napi::Env env, const Control& control, Find find, Work work, ToJs to_js) {
  using Result = std::invoke_result_t<Work, Context&>;
  const auto deferred = Napi::Promise::Deferred::New(env);
  const auto home = Environment::of(env);
  if (home->firing()) {
    fail("ENGINE_BUSY", "a function hook cannot call the engine that waits for it; ",
         "make the call before or after the run");
  }
  if (control.plan && planned == Planned::no) fail("BAD_ARGUMENT", "this call cannot be planned");
  const int64_t number = control.job;
  home->begin(number, control.on_progress, control.functions);

  auto job = std::make_shared<Job>();
  job->number = number;
  job->owner = home.get();
  if (control.pause) job->on_cancel = [pause = control.pause] { pause->wake(); };
  if (control.on_progress.IsFunction()) {
    using Clock = std::chrono::steady_clock;
    const auto last = std::make_shared<Clock::time_point>();
    job->progress = [home, number, last](int64_t done, int64_t total) {
      const auto now = Clock::now();
      if (done != total && now - *last < std::chrono::milliseconds(50)) return;
      *last = now;
      home->post([home, number, done, total](Napi::Env e) {
        home->report_progress(e, number, static_cast<double>(done), static_cast<double>(total));
      });
    };
  }
  job->work = [=, plan = control.plan, pause = control.pause, find = std::move(find),
               work = std::move(work)](Context& ctx) mutable {
    const auto finish = [&] {
      if (pause) pause->finish();
    };
    const auto reject = [&](const std::string& code, const std::string& message) {
      finish();
      home->post([home, number, deferred, code, message](Napi::Env e) {
        home->end(number);
        deferred.Reject(to_js_error(e, code, message).Value());
      });
    };
    try {
      check_cancelled(ctx);
      const Place place = find();
      ctx.device = place.device;
      ctx.tf32 = place.tf32;
      const MemoryFrom memory(place.device ? *place.device : host_memory());
      if constexpr (planned == Planned::yes) {
        if (plan || place.memory_budget > 0) {
          const RunMemory needed = plan_memory(ctx, work);
          if (plan) {
            home->post([home, number, deferred, needed, budget = place.memory_budget](Napi::Env e) {
              home->end(number);
              deferred.Resolve(addon::to_js(e, needed, budget));
            });
            return;
          }
          check_budget(needed, place.memory_budget);
        }
      }
      std::shared_ptr<Result> result;
      {
        const MemoryLimit limit(place.memory_budget);
        const ScratchUse scratch;
        if (pause) pause->begin();
        result = std::make_shared<Result>(work(ctx));
      }
      finish();
      home->post([home, number, deferred, result, to_js](Napi::Env e) {
        home->end(number);
        try {
          deferred.Resolve(to_js(e, *home, std::move(*result)));
        } catch (const Napi::Error& error) {
          deferred.Reject(error.Value());
        } catch (const Error& error) {
          deferred.Reject(to_js_error(e, error.code, error.what()).Value());
        }
      });
    } catch (const Error& error) {
      reject(error.code, error.what());
    } catch (const std::bad_alloc&) {
      reject("OUT_OF_MEMORY", "the system has no memory left for this call");
    } catch (const std::exception& error) {
      reject("INTERNAL", error.what());
    }
  };
  Engine::instance().post(std::move(job));
  return deferred.Promise();
}

template <Planned planned = Planned::no, class Work, class ToJs>
Napi::Value run(Napi::Env env, const Control& control, const Place& place, Work work, ToJs to_js) {
  return run_where<planned>(
      env, control, [place] { return place; }, std::move(work), std::move(to_js));
}

// Turns what a request's conversion throws into a rejected promise.
template <class Body>
Napi::Value guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(to_js_error(env, error.code, error.what()).Value());
    return deferred.Promise();
  } catch (const Napi::Error& error) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    error.Value().As<Napi::Object>().Set("code", "BAD_ARGUMENT");
    deferred.Reject(error.Value());
    return deferred.Promise();
  }
}

}  // namespace keyheads::addon
