#include "addon/read.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace keyheads::addon {

Reader Reader::of(const Napi::Value& value, std::string path) {
  if (!value.IsObject()) fail("BAD_ARGUMENT", path, ": expected an object");
  return {value.As<Napi::Object>(), std::move(path)};
}

bool Reader::has(const char* field) const {
  const Napi::Value value = object.Get(field);
  return !value.IsUndefined() && !value.IsNull();
}

Napi::Value Reader::get(const char* field) const {
  if (!has(field)) fail("BAD_ARGUMENT", path, ".", field, " is missing");
  return object.Get(field);
}

Reader Reader::child(const char* field) const { return of(get(field), path + "." + field); }

std::vector<Reader> Reader::list(const char* field) const {
  const Napi::Value value = get(field);
  if (!value.IsArray()) fail("BAD_ARGUMENT", path, ".", field, ": expected an array");
  const auto array = value.As<Napi::Array>();
  std::vector<Reader> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    out.push_back(of(array.Get(i), path + "." + field + "[" + std::to_string(i) + "]"));
  }
  return out;
}

double Reader::number(const char* field) const {
  const Napi::Value value = get(field);
  if (!value.IsNumber()) fail("BAD_ARGUMENT", path, ".", field, ": expected a number");
  return value.As<Napi::Number>().DoubleValue();
}

int64_t Reader::integer(const char* field) const {
  const double value = number(field);
  if (value != std::floor(value) || std::abs(value) > 9007199254740992.0) {
    fail("BAD_ARGUMENT", path, ".", field, ": expected an integer, found ", value);
  }
  return static_cast<int64_t>(value);
}

bool Reader::boolean(const char* field, bool fallback) const {
  if (!has(field)) return fallback;
  const Napi::Value value = get(field);
  if (!value.IsBoolean()) fail("BAD_ARGUMENT", path, ".", field, ": expected true or false");
  return value.As<Napi::Boolean>().Value();
}

std::string Reader::text(const char* field) const {
  const Napi::Value value = get(field);
  if (!value.IsString()) fail("BAD_ARGUMENT", path, ".", field, ": expected a string");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<int32_t> Reader::ints(const char* field) const {
  const Napi::Value value = get(field);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    fail("BAD_ARGUMENT", path, ".", field, ": expected an Int32Array");
  }
  const auto array = value.As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

namespace {

// use(first, last) with the numbers of a Float32Array or Float64Array
template <class Use>
auto with_floats(const Napi::Value& value, const std::string& what, const Use& use) {
  if (value.IsTypedArray()) {
    const auto type = value.As<Napi::TypedArray>().TypedArrayType();
    if (type == napi_float32_array) {
      const auto array = value.As<Napi::Float32Array>();
      return use(array.Data(), array.Data() + array.ElementLength());
    }
    if (type == napi_float64_array) {
      const auto array = value.As<Napi::Float64Array>();
      return use(array.Data(), array.Data() + array.ElementLength());
    }
  }
  fail("BAD_ARGUMENT", what, ": expected a Float32Array or Float64Array");
}

}  // namespace

template <class T>
std::vector<T> Reader::floats(const char* field) const {
  return with_floats(get(field), path + "." + field, [](const auto* first, const auto* last) {
    return std::vector<T>(first, last);
  });
}

template <class T>
Tensor<T> Reader::tensor(const char* field) const {
  return with_floats(get(field), path + "." + field, [](const auto* first, const auto* last) {
    Tensor<T> out(1, last - first);
    std::copy(first, last, out.data());
    return out;
  });
}

template std::vector<float> Reader::floats<float>(const char*) const;
template std::vector<double> Reader::floats<double>(const char*) const;
template Tensor<float> Reader::tensor<float>(const char*) const;
template Tensor<double> Reader::tensor<double>(const char*) const;

}  // namespace keyheads::addon
