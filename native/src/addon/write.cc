#include "addon/write.h"

#include "base/check.h"

namespace keyheads::addon {
namespace {

// Node 20 aborts the process on an external buffer beyond this.
constexpr size_t kMostBytes = size_t{4} << 30;
// Below this a copy is cheaper than a finaliser.
constexpr size_t kCopyBytes = 4096;

// `owner` keeps the memory; it is deleted with the array.
template <class Array, class T, class Owner>
Napi::Value typed_array(Napi::Env env, T* data, size_t count, std::unique_ptr<Owner> owner) {
  const size_t bytes = count * sizeof(T);
  if (bytes > kMostBytes) {
    fail("OUT_OF_MEMORY", "a result of ", bytes, " bytes does not fit into one array of ",
         kMostBytes, "; ask for fewer rows, heads or items at a time");
  }
  if (bytes <= kCopyBytes) {
    Array array = Array::New(env, count);
    std::copy_n(data, count, array.Data());
    return array;
  }
  const auto buffer = Napi::ArrayBuffer::New(
      env, data, bytes, [](Napi::Env, void*, Owner* held) { delete held; }, owner.release());
  return Array::New(env, count, buffer, 0);
}

template <class Array, class T>
Napi::Value typed_array(Napi::Env env, std::vector<T> values) {
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owner->data();
  const size_t count = owner->size();
  return typed_array<Array>(env, data, count, std::move(owner));
}

// The engine's own memory, which goes back to its account when the array is collected.
template <class Array, class T>
Napi::Value typed_array(Napi::Env env, Tensor<T> values) {
  hand_over(values.hold);
  T* data = values.data();
  const auto count = static_cast<size_t>(values.size());
  return typed_array<Array>(env, data, count,
                            std::make_unique<std::shared_ptr<void>>(std::move(values.hold)));
}

}  // namespace

Napi::Value to_js(Napi::Env env, std::vector<float> values) {
  return typed_array<Napi::Float32Array>(env, std::move(values));
}
Napi::Value to_js(Napi::Env env, std::vector<double> values) {
  return typed_array<Napi::Float64Array>(env, std::move(values));
}
Napi::Value to_js(Napi::Env env, Tensor<float> values) {
  return typed_array<Napi::Float32Array>(env, std::move(values));
}
Napi::Value to_js(Napi::Env env, Tensor<double> values) {
  return typed_array<Napi::Float64Array>(env, std::move(values));
}
Napi::Value to_js(Napi::Env env, std::vector<int32_t> values) {
  return typed_array<Napi::Int32Array>(env, std::move(values));
}

}  // namespace keyheads::addon
