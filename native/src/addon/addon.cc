// The exports (Binding of binding.ts), each: read the request, run it on the engine thread, write
// the result.
#include <napi.h>

#include "addon/run.h"
#include "addon/write.h"
#include "base/brgemm.h"
#include "base/cpu.h"
#include "base/platform.h"
#include "schema/hash.h"

namespace keyheads::addon {

Control to_control(const Napi::Value& value) {
  const Reader r = Reader::of(value, "control");
  return {r.integer("job"), r.object.Get("onProgress"), {}, nullptr, r.boolean("plan", false)};
}

namespace {

template <class... Callables>
struct Overloaded : Callables... {
  using Callables::operator()...;
};
template <class... Callables>  // clang 16 and older do not find it themselves
Overloaded(Callables...)->Overloaded<Callables...>;

int handle_of(const Napi::Value& value) {
  if (!value.IsNumber()) fail("BAD_ARGUMENT", "handle: expected a number");
  return value.As<Napi::Number>().Int32Value();
}

// Calls use(LoadedModel<T>) for the model behind a handle.
template <class Use>
Napi::Value with_model(const Napi::CallbackInfo& info, const Use& use) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Handle handle = Environment::of(env)->at(handle_of(info[0]));
    return std::visit(Overloaded{[&](const LoadedModel<float>& m) { return use(m); },
                                 [&](const LoadedModel<double>& m) { return use(m); },
                                 [&](const auto&) -> Napi::Value {
                                   fail("BAD_ARGUMENT", "the handle is not one of a model");
                                 }},
                      handle);
  });
}

template <class Use>
Napi::Value with_trainer(const Napi::CallbackInfo& info, const Use& use) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Handle handle = Environment::of(env)->at(handle_of(info[0]));
    return std::visit(Overloaded{[&](const LoadedTrainer<float>& t) { return use(t); },
                                 [&](const LoadedTrainer<double>& t) { return use(t); },
                                 [&](const auto&) -> Napi::Value {
                                   fail("BAD_ARGUMENT", "the handle is not one of a trainer");
                                 }},
                      handle);
  });
}

// Jobs hand back handles as plain values; they are registered on the JavaScript thread.
const auto register_handle = [](Napi::Env env, Environment& home, Handle handle) -> Napi::Value {
  return Napi::Number::New(env, home.add(std::move(handle)));
};
// Results go to the host before they go to JavaScript.
template <class T>
ForwardResult<T> on_host(Context& ctx, ForwardResult<T> result) {
  std::vector<Tensor<T>*> all{&result.residual};
  for (Tensor<T>& t : result.captures) all.push_back(&t);
  to_host_all(ctx, all);
  return result;
}
template <class T>
BackwardResult<T> on_host(Context& ctx, BackwardResult<T> result) {
  std::vector<Tensor<T>*> all;
  for (Tensor<T>& t : result.captures) all.push_back(&t);
  for (Tensor<T>& t : result.gradients) all.push_back(&t);
  to_host_all(ctx, all);
  return result;
}

const auto nothing = [](Napi::Env env, Environment&, bool) -> Napi::Value {
  return env.Undefined();
};

Napi::Value load_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Reader r = Reader::of(info[0], "request");
    const std::string dtype = r.text("dtype");
    if (dtype != "f32" && dtype != "bf16" && dtype != "f64") {
      fail("BAD_ARGUMENT", "request.dtype: '", dtype, "' is not one of f32, bf16, f64");
    }
    const int64_t budget = r.integer("memoryBudget");
    const bool weightless = r.boolean("weightless", false);
    const std::optional<DeviceChoice> choice = to_device(r, "device");
    if (choice && dtype == "f64") {
      fail("BAD_ARGUMENT", "request.dtype: a GPU computes in float; use f32 or bf16 with device");
    }
    return run_where<Planned::yes>(
        env, to_control(info[1]),
        [choice, budget]() -> Place {
          if (!choice) return {budget, nullptr};
          return {budget, &Device::open(choice->library, choice->ordinal, choice->cublaslt),
                  choice->tf32};
        },
        [spec = to_spec(r.child("spec")), sources = to_sources(r, "tensors"), dtype, budget,
         weightless](Context& ctx) -> Handle {
          const Place place{budget, ctx.device, ctx.tf32};
          const auto load = [&]<class T>(std::type_identity<T>, Storage storage) {
            if (!weightless) {
              return LoadedModel<T>{std::make_shared<Model<T>>(ctx, spec, sources, storage), place};
            }
            const MemoryPlan plan;
            Context planning = ctx;
            planning.planning = true;
            return LoadedModel<T>{std::make_shared<Model<T>>(planning, spec, sources, storage),
                                  place};
          };
          if (dtype == "f64") return load(std::type_identity<double>{}, Storage::full);
          return load(std::type_identity<float>{}, dtype == "bf16" ? Storage::bf16 : Storage::full);
        },
        register_handle);
  });
}

template <class T>
std::shared_ptr<KvCache<T>> cache_of(const Reader& r) {
  if (!r.has("cache")) return nullptr;
  const Handle handle = Environment::of(r.object.Env())->at(handle_of(r.get("cache")));
  const auto* cache = std::get_if<LoadedCache<T>>(&handle);
  if (!cache) fail("BAD_ARGUMENT", "request.cache is no cache of a model of this dtype");
  return cache->cache;
}

Napi::Value forward_export(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    const Reader r = Reader::of(info[1], "request");
    const Readout readout = r.has("readout") ? to_readout(r.child("readout"), true) : Readout{};
    Control control = to_control(info[2]);
    const std::vector<Edit<T>> edits = to_edits<T>(r, "edits", control);
    return run<Planned::yes>(
        info.Env(), control, m.place,
        [m, batch = to_batch(r.child("batch")), captures = to_sites(r, "captures"), edits, readout,
         cache = cache_of<T>(r), range = to_range<T>(r)](Context& ctx) {
          return on_host(
              ctx, forward<T>(ctx, *m.model, batch, captures, edits, readout, cache.get(), range));
        },
        [](Napi::Env env, Environment&, ForwardResult<T> result) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("captures", to_js_list(env, std::move(result.captures)));
          if (result.residual) out.Set("residual", to_js(env, std::move(result.residual)));
          set_readout(out, std::move(result.readout));
          return out;
        });
  });
}

template <class T>
Napi::Object to_js_backward(Napi::Env env, BackwardResult<T> result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("objective", Napi::Number::New(env, result.objective));
  out.Set("perRow", to_js(env, std::move(result.per_row)));
  out.Set("captures", to_js_list(env, std::move(result.captures)));
  out.Set("gradients", to_js_list(env, std::move(result.gradients)));
  return out;
}

Napi::Value backward_export(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    const Reader r = Reader::of(info[1], "request");
    Control control = to_control(info[2]);
    const std::vector<Edit<T>> edits = to_edits<T>(r, "edits", control);
    return run<Planned::yes>(
        info.Env(), control, m.place,
        [m, batch = to_batch(r.child("batch")), captures = to_sites(r, "captures"), edits,
         gradients = to_sites(r, "gradients"), objective = to_objective<T>(r.child("objective")),
         directions = to_directions<T>(r), range = to_range<T>(r),
         rules = to_rules(r, "rules")](Context& ctx) {
          return on_host(
              ctx, backward<T>(ctx, *m.model, batch, captures, edits, gradients, objective, nullptr,
                               range, rules, false, directions ? &*directions : nullptr));
        },
        [](Napi::Env env, Environment&, BackwardResult<T> result) -> Napi::Value {
          return to_js_backward(env, std::move(result));
        });
  });
}

Napi::Value sweep_export(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    return run<Planned::yes>(
        info.Env(), to_control(info[2]), m.place,
        [m, request = to_sweep<T>(Reader::of(info[1], "request"))](Context& ctx) {
          return sweep<T>(ctx, *m.model, request);
        },
        [](Napi::Env env, Environment&, SweepResult<T> result) -> Napi::Value {
          const auto to_object = [&](SweepReadout<T> readout, std::vector<Tensor<T>> captures) {
            Napi::Object object = Napi::Object::New(env);
            set_readout(object, std::move(readout));
            object.Set("captures", to_js_list(env, std::move(captures)));
            return object;
          };
          Napi::Object out = Napi::Object::New(env);
          out.Set("base", to_object(std::move(result.base), std::move(result.base_captures)));
          out.Set("variants", to_object(std::move(result.variants), std::move(result.captures)));
          return out;
        });
  });
}

Napi::Value read_weight(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    return run(
        info.Env(), to_control(info[2]), m.place,
        [m, slot = to_slot(Reader::of(info[1], "slot"))](Context& ctx) {
          m.model->check_weights(ctx);
          const Parameter<T>& p = m.model->weights.at(slot);
          std::vector<T> values(static_cast<size_t>(p.n() * p.k()));
          read_parameter(ctx, p, values.data());
          return values;
        },
        [](Napi::Env env, Environment&, std::vector<T> values) -> Napi::Value {
          return to_js(env, std::move(values));
        });
  });
}

Napi::Value write_weight(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    Napi::Object holder = Napi::Object::New(info.Env());
    holder.Set("value", info[2]);
    return run(
        info.Env(), to_control(info[3]), m.place,
        [m, slot = to_slot(Reader::of(info[1], "slot")),
         values = Reader{holder, "writeWeight"}.floats<T>("value")](Context& ctx) {
          m.model->check_weights(ctx);
          const Parameter<T>& p = m.model->weights.at(slot);
          if (static_cast<int64_t>(values.size()) != p.n() * p.k()) {
            fail("BAD_ARGUMENT", describe(slot), " has ", p.n() * p.k(), " numbers, ",
                 values.size(), " were given");
          }
          write_parameter(ctx, p, values.data());
          return true;
        },
        nothing);
  });
}

Napi::Value add_weights(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    const Reader r = Reader::of(info[1], "request");
    const bool low_rank = r.has("rank");
    const SlotRef slot = to_slot(r);
    if (!low_rank && slot.slot != "zOffset") {
      fail("BAD_ARGUMENT", "request: expected a rank, or the slot zOffset, found ", slot.slot);
    }
    return run<Planned::yes>(
        info.Env(), to_control(info[2]), m.place,
        [m, slot, low_rank, rank = low_rank ? r.integer("rank") : 0,
         scale = low_rank ? r.number("scale") : 0](Context& ctx) {
          if (ctx.planning) return true;
          m.model->check_weights(ctx);
          Weights<T>& weights = m.model->weights;
          if (low_rank) {
            weights.add_low_rank(ctx, slot, rank, scale);
          } else {
            weights.add_z_offset(ctx, slot.layer, m.model->spec.q_width());
          }
          return true;
        },
        nothing);
  });
}

Napi::Value remove_weights(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    return run(
        info.Env(), to_control(info[1]), m.place,
        [m](Context&) {
          m.model->weights.remove_additions();
          return true;
        },
        nothing);
  });
}

Napi::Value create_cache(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    const int sequences = handle_of(info[1]);
    if (sequences < 1) fail("BAD_ARGUMENT", "a cache needs at least 1 sequence, got ", sequences);
    return run<Planned::yes>(
        info.Env(), to_control(info[2]), m.place,
        [m, sequences](Context&) -> Handle {
          return LoadedCache<T>{std::make_shared<KvCache<T>>(m.model->spec, sequences)};
        },
        register_handle);
  });
}

Napi::Value create_trainer(const Napi::CallbackInfo& info) {
  return with_model(info, [&]<class T>(const LoadedModel<T>& m) -> Napi::Value {
    return run<Planned::yes>(
        info.Env(), to_control(info[2]), m.place,
        [m, slices = to_slices(Reader::of(info[1], "request"))](Context& ctx) -> Handle {
          m.model->check_weights(ctx);
          return LoadedTrainer<T>{std::make_shared<Trainer<T>>(ctx, m.model, slices), m.place};
        },
        register_handle);
  });
}

Napi::Value accumulate(const Napi::CallbackInfo& info) {
  return with_trainer(info, [&]<class T>(const LoadedTrainer<T>& t) -> Napi::Value {
    const Reader r = Reader::of(info[1], "request");
    Control control = to_control(info[2]);
    const std::vector<Edit<T>> edits = to_edits<T>(r, "edits", control);
    return run<Planned::yes>(
        info.Env(), control, t.place,
        [t, batch = to_batch(r.child("batch")), edits,
         objective = to_objective<T>(r.child("objective")), range = to_range<T>(r),
         recompute = r.boolean("recompute", false)](Context& ctx) {
          return t.trainer->accumulate(ctx, batch, edits, objective, range, recompute);
        },
        [](Napi::Env env, Environment&, BackwardResult<T> result) -> Napi::Value {
          return to_js_backward(env, std::move(result));
        });
  });
}

Napi::Value update(const Napi::CallbackInfo& info) {
  return with_trainer(info, [&]<class T>(const LoadedTrainer<T>& t) -> Napi::Value {
    return run(
        info.Env(), to_control(info[2]), t.place,
        [t, request = to_update(Reader::of(info[1], "request"))](Context& ctx) {
          return t.trainer->update(ctx, request);
        },
        [](Napi::Env env, Environment&, UpdateResult result) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("gradientNorm", result.gradient_norm);
          out.Set("step", static_cast<double>(result.step));
          return out;
        });
  });
}

Napi::Value read_trainer(const Napi::CallbackInfo& info) {
  return with_trainer(info, [&]<class T>(const LoadedTrainer<T>& t) -> Napi::Value {
    return run(
        info.Env(), to_control(info[1]), t.place,
        [t](Context& ctx) { return t.trainer->read(ctx); },
        [](Napi::Env env, Environment&, TrainerState<T> s) -> Napi::Value {
          Napi::Object out = Napi::Object::New(env);
          out.Set("step", static_cast<double>(s.step));
          out.Set("gradients", to_js_list(env, std::move(s.gradients)));
          out.Set("firstMoments", to_js_list(env, std::move(s.first_moments)));
          out.Set("secondMoments", to_js_list(env, std::move(s.second_moments)));
          out.Set("values", to_js_list(env, std::move(s.values)));
          return out;
        });
  });
}

Napi::Value write_trainer(const Napi::CallbackInfo& info) {
  return with_trainer(info, [&]<class T>(const LoadedTrainer<T>& t) -> Napi::Value {
    return run(
        info.Env(), to_control(info[2]), t.place,
        [t, state = to_state<T>(Reader::of(info[1], "state"))](Context& ctx) {
          t.trainer->write(ctx, state);
          return true;
        },
        nothing);
  });
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info[0].IsNumber()) Environment::of(env)->remove(handle_of(info[0]));
  return env.Undefined();
}

Napi::Value cancel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info[0].IsNumber()) {
    const int64_t job = info[0].As<Napi::Number>().Int64Value();
    Engine::instance().cancel(Environment::of(env).get(), job);
  }
  return env.Undefined();
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int threads = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
  if (threads < 0 || threads > 1024) {
    throw to_js_error(env, "BAD_ARGUMENT", "threads: expected 0 (all) to 1024");
  }
  Engine::instance().set_threads(threads);
  return env.Undefined();
}

Napi::Value engine_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
  try {
    out.Set("isa", isa_name(Engine::instance().isa()));
  } catch (const Error& error) {
    throw to_js_error(env, error.code, error.what());
  }
  out.Set("cpu", cpu_name());
  out.Set("gemm", gemm_name(Engine::instance().isa()));
  out.Set("threads", Engine::instance().threads());
  out.Set("napi", NAPI_VERSION);
#ifdef __clang__
  out.Set("compiler", __VERSION__);
#else
  out.Set("compiler", "g++ " __VERSION__);
#endif
  return out;
}

// The account of the host, or of the device of a model.
const MemorySource& account_of(const Napi::CallbackInfo& info) {
  const MemorySource* found = &host_memory();
  if (!info[1].IsNumber()) return *found;
  std::visit(
      [&](const auto& handle) {
        if constexpr (requires { handle.place; }) {
          if (handle.place.device) found = handle.place.device;
        }
      },
      Environment::of(info.Env())->at(handle_of(info[1])));
  return *found;
}

Napi::Value memory(const Napi::CallbackInfo& info) {
  Napi::Object out = Napi::Object::New(info.Env());
  try {
    const MemorySource& account = account_of(info);
    if (info[0].IsBoolean() && info[0].As<Napi::Boolean>().Value()) reset_peak(account);
    const MemoryInfo m = memory_info(account);
    out.Set("weightBytes", static_cast<double>(m.weight_bytes));
    out.Set("bytes", static_cast<double>(m.bytes));
    out.Set("peakBytes", static_cast<double>(m.peak_bytes));
  } catch (const Error& error) {
    throw to_js_error(info.Env(), error.code, error.what());
  }
  return out;
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    if (!info[0].IsString()) fail("BAD_ARGUMENT", "devices: expected the file of a CUDA library");
    return run(
        env, to_control(info[1]), {},
        [library = info[0].ToString().Utf8Value()](Context&) { return Device::list(library); },
        [](Napi::Env e, Environment&, const std::vector<cuda::DeviceInfo>& found) -> Napi::Value {
          Napi::Array out = Napi::Array::New(e, found.size());
          for (uint32_t i = 0; i < found.size(); ++i) {
            const cuda::DeviceInfo& d = found[i];
            Napi::Object object = Napi::Object::New(e);
            object.Set("name", d.name);
            object.Set("capability", std::to_string(d.major) + "." + std::to_string(d.minor));
            object.Set("multiprocessors", d.multiprocessors);
            object.Set("totalBytes", static_cast<double>(d.total_bytes));
            object.Set("freeBytes", static_cast<double>(d.free_bytes));
            object.Set("driver", d.driver);
            object.Set("runtime", d.runtime);
            object.Set("cublasLt", d.cublaslt);
            out.Set(i, object);
          }
          return out;
        });
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  stay_loaded();
  Environment::attach(env);
  exports.Set("schemaHash", kSchemaHash);
  const auto add = [&]<Napi::Value (*Function)(const Napi::CallbackInfo&)>(const char* name) {
    exports.Set(name, Napi::Function::New<Function>(env, name));
  };
  add.operator()<engine_info>("info");
  add.operator()<set_threads>("setThreads");
  add.operator()<cancel>("cancel");
  add.operator()<load_model>("loadModel");
  add.operator()<forward_export>("forward");
  add.operator()<backward_export>("backward");
  add.operator()<sweep_export>("sweep");
  add.operator()<read_weight>("readWeight");
  add.operator()<write_weight>("writeWeight");
  add.operator()<add_weights>("addWeights");
  add.operator()<remove_weights>("removeWeights");
  add.operator()<create_cache>("createCache");
  add.operator()<create_trainer>("createTrainer");
  add.operator()<accumulate>("accumulate");
  add.operator()<update>("update");
  add.operator()<read_trainer>("readTrainer");
  add.operator()<write_trainer>("writeTrainer");
  add.operator()<dispose>("dispose");
  add.operator()<memory>("memory");
  add.operator()<devices>("devices");
  return exports;
}

}  // namespace

napi_value register_addon(napi_env env, napi_value exports) {
  return Napi::RegisterModule(env, exports, init);
}

}  // namespace keyheads::addon
