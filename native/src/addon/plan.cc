#include "addon/plan.h"

#include "base/check.h"

namespace keyheads::addon {

void check_budget(const RunMemory& needed, int64_t budget) {
  if (needed.peak() <= budget) return;
  fail("OUT_OF_MEMORY", "memory budget of ", budget, " bytes is not enough: ", needed.peak(),
       " needed, ", needed.weights, " for weights, ", needed.in_use,
       " in use by caches and trainers, ", needed.run, " for this call, of which ", needed.result,
       " for its results; use shorter or fewer sequences at a time, fewer captures, --dtype bf16, ",
       "or a larger --memory-budget");
}

Napi::Value to_js(Napi::Env env, const RunMemory& needed, int64_t budget) {
  Napi::Object out = Napi::Object::New(env);
  const auto set = [&](const char* name, int64_t bytes) {
    out.Set(name, static_cast<double>(bytes));
  };
  set("weightBytes", needed.weights);
  set("inUseBytes", needed.in_use);
  set("runBytes", needed.run);
  set("resultBytes", needed.result);
  set("peakBytes", needed.peak());
  set("budget", budget);
  return out;
}

}  // namespace keyheads::addon
