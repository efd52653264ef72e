#pragma once
#include "base/context.h"
#include "base/parallel.h"
#include "base/view.h"

namespace keyheads {

// Runs an op on ctx.device, which finds it by its name (base/device.h).
void run_on_device(Context& ctx, const char* op, const void* args);
[[noreturn]] void refuse_double_on_device(const char* op);

template <class T>
KEYHEADS_INLINE void run_on_device(Context& ctx, const char* op, const void* args) {
  if constexpr (sizeof(T) == sizeof(float)) {
    run_on_device(ctx, op, args);
  } else {
    refuse_double_on_device(op);
  }
}

}  // namespace keyheads

// DECLARE_OP(linear, Linear) declares one op, once, for Linear<float> and Linear<double>:
//   v2::linear(ctx, args), v3::, v4::   written once in ops/linear_cpu.cc, which the build compiles
//                                       per instruction set with KEYHEADS_ISA = v2, v3, v4
//   linear(ctx, args)                   picks one of them by ctx.isa, or, with ctx.device, what
//                                       ops/linear_cuda.cu has for floats
#define DECLARE_OP_FOR(isa, name, Args)              \
  namespace isa {                                    \
  void name(Context& ctx, const Args<float>& args);  \
  void name(Context& ctx, const Args<double>& args); \
  }

#ifdef KEYHEADS_ONLY_ISA  // of a build for one instruction set alone, as all on Arm are
#define DECLARE_OP(name, Args)                                   \
  DECLARE_OP_FOR(KEYHEADS_ONLY_ISA, name, Args)                  \
  template <class T>                                             \
  KEYHEADS_INLINE void name(Context& ctx, const Args<T>& args) { \
    if (ctx.planning) return;                                    \
    if (ctx.device) return run_on_device<T>(ctx, #name, &args);  \
    KEYHEADS_ONLY_ISA::name(ctx, args);                          \
  }
#define DECLARE_OP_BF16 DECLARE_OP
#else
#define DISPATCH_OP(name, Args, best)                            \
  template <class T>                                             \
  KEYHEADS_INLINE void name(Context& ctx, const Args<T>& args) { \
    if (ctx.planning) return;                                    \
    if (ctx.device) return run_on_device<T>(ctx, #name, &args);  \
    switch (ctx.isa) {                                           \
      case Isa::v4_bf16:                                         \
        return best::name(ctx, args);                            \
      case Isa::v4:                                              \
        return v4::name(ctx, args);                              \
      case Isa::v3:                                              \
        return v3::name(ctx, args);                              \
      default:                                                   \
        return v2::name(ctx, args);                              \
    }                                                            \
  }

#define DECLARE_OP(name, Args)   \
  DECLARE_OP_FOR(v2, name, Args) \
  DECLARE_OP_FOR(v3, name, Args) \
  DECLARE_OP_FOR(v4, name, Args) \
  DISPATCH_OP(name, Args, v4)

// The same for a source that is compiled for v4_bf16 too (CMakeLists.txt).
#define DECLARE_OP_BF16(name, Args)   \
  DECLARE_OP_FOR(v2, name, Args)      \
  DECLARE_OP_FOR(v3, name, Args)      \
  DECLARE_OP_FOR(v4, name, Args)      \
  DECLARE_OP_FOR(v4_bf16, name, Args) \
  DISPATCH_OP(name, Args, v4_bf16)
#endif

// In X_cpu.cc: DEFINE_OP(linear, Linear) after a template<class T> linear_impl(ctx, args) with
// internal linkage.
#define DEFINE_OP(name, Args)                                                           \
  namespace KEYHEADS_ISA {                                                              \
  void name(Context& ctx, const Args<float>& args) { name##_impl<float>(ctx, args); }   \
  void name(Context& ctx, const Args<double>& args) { name##_impl<double>(ctx, args); } \
  }
