// What a run needs in memory, found by its own code (MemoryPlan), and the budget's refusal.
#pragma once
#include <napi.h>

#include "base/context.h"
#include "base/memory.h"

namespace keyheads::addon {

// MemoryNeeds of binding.ts.
struct RunMemory {
  int64_t weights;  // of loaded models; of a load, with what it would add
  int64_t in_use;   // by caches and trainers
  int64_t run;      // at its largest, without weights
  int64_t result;   // of that, what is handed over in the end

  int64_t peak() const { return weights + in_use + run; }
};

template <class Work>
RunMemory plan_memory(Context& ctx, Work& work) {
  const MemoryInfo now = memory_info(MemoryFrom::current());
  const MemoryPlan plan;
  Context planning = ctx;
  planning.planning = true;
  planning.progress = nullptr;
  const auto result = work(planning);
  return {now.weight_bytes + plan.weight_bytes(), now.bytes,
          plan.peak_bytes() - plan.weight_bytes(), plan.bytes()};
}

// Throws OUT_OF_MEMORY, with the figures, before anything was computed.
void check_budget(const RunMemory& needed, int64_t budget);

Napi::Value to_js(Napi::Env env, const RunMemory& needed, int64_t budget);

}  // namespace keyheads::addon
