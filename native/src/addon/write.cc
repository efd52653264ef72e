#include "addon/write.h"

#include "base/check.h"

namespace keyheads::addon {
namespace {

// Node 20 aborts the process on an external buffer beyond this.
constexpr size_t kMostBytes = size_t{4} << 30;
// Below this a copy is cheaper than a finaliser.
constexpr size_t kCopyBytes = 4096;

template <class Array, class T>
Napi::Value typed_array(Napi::Env env, std::vector<T> values) {
  const size_t count = values.size(), bytes = count * sizeof(T);
  if (bytes > kMostBytes) {
    fail("OUT_OF_MEMORY", "a result of ", bytes, " bytes does not fit into one array of ",
         kMostBytes, "; ask for fewer rows, heads or items at a time");
  }
  if (bytes <= kCopyBytes) {
    Array array = Array::New(env, count);
    std::copy(values.begin(), values.end(), array.Data());
    return array;
  }
  auto* owner = new std::vector<T>(std::move(values));
  const auto buffer = Napi::ArrayBuffer::New(
      env, owner->data(), bytes, [](Napi::Env, void*, std::vector<T>* held) { delete held; },
      owner);
  return Array::New(env, count, buffer, 0);
}

}  // namespace

Napi::Value to_js(Napi::Env env, std::vector<float> values) {
  return typed_array<Napi::Float32Array>(env, std::move(values));
}
Napi::Value to_js(Napi::Env env, std::vector<double> values) {
  return typed_array<Napi::Float64Array>(env, std::move(values));
}
Napi::Value to_js(Napi::Env env, std::vector<int32_t> values) {
  return typed_array<Napi::Int32Array>(env, std::move(values));
}

}  // namespace keyheads::addon
