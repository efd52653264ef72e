// Matrix products by cuBLASLt, which is opened at run time.
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "cuda/cublaslt_abi.h"
#include "cuda/gemm.h"

namespace keyheads::cuda {
namespace lt {

// How one kind of product is computed: what cuBLASLt ranks first for it.
struct Plan {
  lt::Description description = nullptr;
  lt::Layout a = nullptr, b = nullptr, d = nullptr;
  lt::Algorithm algorithm{};
  size_t workspace = 0;
  bool possible = false;
};
using Key = std::tuple<int64_t, int64_t, int64_t,               // M, N, depth
                       int64_t, int64_t, int64_t,               // strides of a, b, c
                       uint32_t, uint32_t, uint32_t, uint32_t,  // alignments of a, b, c, bias
                       unsigned>;  // types, transpositions, bias, beta, TF32

}  // namespace lt
namespace {

using lt::Key;
using lt::Plan;

constexpr uint64_t kWorkspace = uint64_t{32} << 20;
// Products of different shapes that are remembered; beyond that all are forgotten.
constexpr size_t kMostPlans = 4096;

// Alignments in bytes: at most 256 of the heuristic's interest.
uint32_t alignment(const void* p, int64_t row_bytes) {
  const auto bits = reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(row_bytes) | 256u;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// Operands of bf16 have no such choice.
bool uses_tf32(const Queue& queue, const Product& p) { return queue.tf32 && !p.a.bf16; }

Key key_of(const Product& p, bool tf32) {
  const int64_t element = p.a.bf16 ? 2 : 4;
  const unsigned kind = unsigned{p.a.bf16} | unsigned{p.a.transposed} << 1 |
                        unsigned{p.b.transposed} << 2 | unsigned{p.bias != nullptr} << 3 |
                        unsigned{p.accumulate} << 4 | unsigned{tf32} << 5;
  return {p.c.rows,
          p.c.cols,
          p.depth,
          p.a.stride,
          p.b.stride,
          p.c.stride,
          alignment(p.a.data, p.a.stride * element),
          alignment(p.b.data, p.b.stride * element),
          alignment(p.c.data, p.c.stride * 4),
          p.bias ? alignment(p.bias, 0) : 0,
          kind};
}

}  // namespace

struct Lt {
  lt::Functions call;
  lt::Handle handle = nullptr;  // made by the first product: it needs a device
  std::map<Key, Plan> plans;

  void check(lt::Status status, const char* what) const {
    if (status == lt::kSuccess) return;
    throw std::runtime_error(std::string("cuBLASLt, ") + what + ": status " +
                             std::to_string(status));
  }
  template <class T>
  void set(lt::Description description, lt::DescriptionAttribute attribute, T value) const {
    check(call.MatmulDescSetAttribute(description, attribute, &value, sizeof value), "description");
  }
  template <class T>
  void set(lt::Preference preference, lt::PreferenceAttribute attribute, T value) const {
    check(call.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
          "preference");
  }
  const Plan& plan_of(const Product& product, bool tf32);
  Plan make_plan(const Product& product, bool tf32) const;
  void forget(Plan& plan) const;
};

namespace {

// Row-major matrices are transposed column-major ones: c^T = b^T a^T, so cuBLASLt's first operand
// is b, its second a.
lt::Layout layout(const Lt& lt, int type, int64_t rows, int64_t cols, int64_t stride) {
  lt::Layout made = nullptr;
  lt.check(lt.call.MatrixLayoutCreate(&made, type, static_cast<uint64_t>(cols),
                                      static_cast<uint64_t>(rows), std::max(stride, cols)),
           "layout");
  return made;
}
lt::Layout layout(const Lt& lt, const Operand& x, int64_t rows, int64_t cols) {
  const int type = x.bf16 ? lt::kBf16 : lt::kF32;
  return x.transposed ? layout(lt, type, cols, rows, x.stride)
                      : layout(lt, type, rows, cols, x.stride);
}

}  // namespace

Plan Lt::make_plan(const Product& p, bool tf32) const {
  Plan plan;
  const int compute = tf32 ? lt::kComputeTf32 : lt::kComputeF32;
  check(call.MatmulDescCreate(&plan.description, compute, lt::kF32), "description");
  set(plan.description, lt::kTransA, p.b.transposed ? lt::kTransposed : lt::kPlain);
  set(plan.description, lt::kTransB, p.a.transposed ? lt::kTransposed : lt::kPlain);
  if (p.bias) {
    set(plan.description, lt::kEpilogue, lt::kAddBias);
    set(plan.description, lt::kBiasPointer, p.bias);
  }
  plan.a = layout(*this, p.b, p.depth, p.c.cols);
  plan.b = layout(*this, p.a, p.c.rows, p.depth);
  plan.d = layout(*this, lt::kF32, p.c.rows, p.c.cols, p.c.stride);
  lt::Preference preference = nullptr;
  check(call.MatmulPreferenceCreate(&preference), "preference");
  const int64_t element = p.a.bf16 ? 2 : 4;
  set(preference, lt::kMaxWorkspace, kWorkspace);
  set(preference, lt::kMinAlignmentA, alignment(p.b.data, p.b.stride * element));
  set(preference, lt::kMinAlignmentB, alignment(p.a.data, p.a.stride * element));
  set(preference, lt::kMinAlignmentC, alignment(p.c.data, p.c.stride * 4));
  set(preference, lt::kMinAlignmentD, alignment(p.c.data, p.c.stride * 4));
  lt::Heuristic best{};
  int found = 0;
  const lt::Status status = call.MatmulAlgoGetHeuristic(
      handle, plan.description, plan.a, plan.b, plan.d, plan.d, preference, 1, &best, &found);
  call.MatmulPreferenceDestroy(preference);
  plan.possible = status == lt::kSuccess && found > 0 && best.state == lt::kSuccess;
  plan.algorithm = best.algorithm;
  plan.workspace = best.workspace;
  return plan;
}

void Lt::forget(Plan& plan) const {
  for (const lt::Layout each : {plan.a, plan.b, plan.d}) call.MatrixLayoutDestroy(each);
  call.MatmulDescDestroy(plan.description);
}

const Plan& Lt::plan_of(const Product& product, bool tf32) {
  if (!handle) {
    check(call.Create(&handle),
          "handle (does the driver know this version? KEYHEADS_CUBLASLT names another)");
  }
  const Key key = key_of(product, tf32);
  const auto found = plans.find(key);
  if (found != plans.end()) return found->second;
  if (plans.size() >= kMostPlans) {
    for (auto& [_, plan] : plans) forget(plan);
    plans.clear();
  }
  return plans.emplace(key, make_plan(product, tf32)).first->second;
}

bool lt_multiply(Queue& queue, const Product& p) {
  Lt& lt = *queue.lt;
  const Plan& plan = lt.plan_of(p, uses_tf32(queue, p));
  if (!plan.possible) return false;
  if (p.bias) lt.set(plan.description, lt::kBiasPointer, p.bias);
  const float alpha = 1, beta = p.accumulate ? 1 : 0;
  void* workspace = plan.workspace > 0 ? queue.scratch(plan.workspace) : nullptr;
  lt.check(lt.call.Matmul(lt.handle, plan.description, &alpha, p.b.data, plan.a, p.a.data, plan.b,
                          &beta, p.c.data, plan.d, p.c.data, plan.d, &plan.algorithm, workspace,
                          plan.workspace, queue.stream),
           "product");
  return true;
}

namespace {

// Null, and `missing` says which, where a function is not there.
Lt* functions_of(void* library, std::string& missing) {
  Lt lt{};
  const auto find = [&](auto& function, const char* name) {
    const std::string symbol = std::string("cublasLt") + name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
        dlsym(library, symbol.c_str()));
    if (!function && missing.empty()) missing = "has no " + symbol;
  };
  find(lt.call.GetVersion, "GetVersion");
  find(lt.call.Create, "Create");
  find(lt.call.MatmulDescCreate, "MatmulDescCreate");
  find(lt.call.MatmulDescDestroy, "MatmulDescDestroy");
  find(lt.call.MatmulDescSetAttribute, "MatmulDescSetAttribute");
  find(lt.call.MatrixLayoutCreate, "MatrixLayoutCreate");
  find(lt.call.MatrixLayoutDestroy, "MatrixLayoutDestroy");
  find(lt.call.MatmulPreferenceCreate, "MatmulPreferenceCreate");
  find(lt.call.MatmulPreferenceDestroy, "MatmulPreferenceDestroy");
  find(lt.call.MatmulPreferenceSetAttribute, "MatmulPreferenceSetAttribute");
  find(lt.call.MatmulAlgoGetHeuristic, "MatmulAlgoGetHeuristic");
  find(lt.call.Matmul, "Matmul");
  if (!missing.empty()) return nullptr;
  return new Lt(lt);
}

Lt* open_file(const std::string& path, std::string& why) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library) return functions_of(library, why);
  why = dlerror();
  return nullptr;
}

}  // namespace

Lt* open_lt(const char* path) {
  std::string why;
  const char* variable = std::getenv("KEYHEADS_CUBLASLT");
  for (const char* named : {path, variable}) {
    if (!named || !*named) continue;
    Lt* lt = open_file(named, why);
    if (!lt) throw std::runtime_error("cuBLASLt: " + std::string(named) + ": " + why);
    return lt;
  }
#ifdef __CUDACC__
  for (const char* folder : {"", "/usr/local/cuda/lib64/"}) {
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
      why.clear();
      if (Lt* lt = open_file(std::string(folder) + name, why)) return lt;
    }
  }
#endif
  return nullptr;
}

int version_of(const Lt* lt) { return lt ? static_cast<int>(lt->call.GetVersion()) : 0; }

}  // namespace keyheads::cuda
