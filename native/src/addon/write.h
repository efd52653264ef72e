// C++ values to JavaScript objects. Arrays move: their memory becomes the ArrayBuffer's.
#pragma once
#include <napi.h>

#include <vector>

#include "model/forward.h"
#include "train/trainer.h"

namespace keyheads::addon {

Napi::Value to_js(Napi::Env env, std::vector<float> values);
Napi::Value to_js(Napi::Env env, std::vector<double> values);
Napi::Value to_js(Napi::Env env, std::vector<int32_t> values);
Napi::Value to_js(Napi::Env env, Tensor<float> values);
Napi::Value to_js(Napi::Env env, Tensor<double> values);

template <class Values>
Napi::Array to_js_list(Napi::Env env, std::vector<Values> arrays) {
  Napi::Array out = Napi::Array::New(env, arrays.size());
  for (uint32_t i = 0; i < arrays.size(); ++i) out.Set(i, to_js(env, std::move(arrays[i])));
  return out;
}

// Sets logits, argmax and logsumexp where there are any; of a forward run or a sweep.
template <class Readout>
void set_readout(Napi::Object object, Readout r) {
  const Napi::Env env = object.Env();
  if (r.logits.size() > 0) object.Set("logits", to_js(env, std::move(r.logits)));
  if (!r.argmax.empty()) object.Set("argmax", to_js(env, std::move(r.argmax)));
  if (!r.logsumexp.empty()) object.Set("logsumexp", to_js(env, std::move(r.logsumexp)));
}

}  // namespace keyheads::addon
