#include "model/weights.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/file.h"
#include "base/tensor.h"
#include "ops/linear.h"

namespace keyheads {
namespace {

template <class T>
std::unique_ptr<Parameter<T>> make_parameter(const SlotRef& ref, int64_t rows, int64_t cols,
                                             Storage storage) {
  auto p = std::make_unique<Parameter<T>>();
  p->ref = ref;
  p->w = {nullptr, rows, cols, cols == 1 ? Storage::full : storage};
  p->hold = allocate(static_cast<size_t>(p->w.bytes()), Purpose::weights);
  p->w.data = p->hold.get();
  return p;
}

float widen_half(uint16_t half) {
  const int sign = half >> 15, exponent = (half >> 10) & 31, fraction = half & 1023;
  const float magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                          : exponent == 0
                              ? std::ldexp(static_cast<float>(fraction), -24)
                              : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return sign ? -magnitude : magnitude;
}

float widen_bfloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// The slot's part of a stored [first, second] tensor, converted, as (out, in).
template <class Stored, class T, class Widen>
void convert(const std::vector<char>& bytes, const TensorSource& s, int64_t second, Mat<T> out,
             Widen widen) {
  for (int64_t n = 0; n < out.rows; ++n) {
    const int64_t row = s.start + n / s.length * s.stride + n % s.length;
    for (int64_t k = 0; k < out.cols; ++k) {
      const int64_t index = s.transpose ? k * second + row : row * second + k;
      Stored value;
      std::memcpy(&value, bytes.data() + index * static_cast<int64_t>(sizeof value), sizeof value);
      out.row(n)[k] = static_cast<T>(widen(value));
    }
  }
}

int64_t bytes_per_element(const std::string& dtype) {
  if (dtype == "F32") return 4;
  if (dtype == "F64") return 8;
  if (dtype == "BF16" || dtype == "F16") return 2;
  fail("BAD_CHECKPOINT", "dtype ", dtype, " is not one of F32, F64, F16, BF16");
}

// Rows of a slot out of a file: conversion, transposition and the slot's part of a fused tensor.
template <class T>
void load_rows(const TensorSource& s, Mat<T> rows) {
  const bool vector = s.shape.size() == 1;
  const int64_t first = s.shape.empty() ? 0 : s.shape[0];
  const int64_t second = vector ? 1 : (s.shape.size() == 2 ? s.shape[1] : 0);
  const int64_t out = s.transpose ? second : first, in = s.transpose ? first : second;
  const int64_t n = rows.rows - 1;
  const int64_t last = s.length < 1 ? out : s.start + n / s.length * s.stride + n % s.length;
  if (s.start < 0 || s.stride < 0 || last >= out || in != rows.cols) {
    fail("BAD_CHECKPOINT", s.file, ": ", describe(s.ref), " wants [", rows.rows, ", ", rows.cols,
         "] but rows ", s.start, " to ", last, " of a tensor [", out, ", ", in, "] were given");
  }
  const int64_t width = bytes_per_element(s.dtype);
  const std::vector<char> bytes = read_bytes(s.file, s.offset, first * second * width);
  const auto same = [](auto value) { return value; };
  if (s.dtype == "F32") convert<float>(bytes, s, second, rows, same);
  if (s.dtype == "F64") convert<double>(bytes, s, second, rows, same);
  if (s.dtype == "F16") convert<uint16_t>(bytes, s, second, rows, widen_half);
  if (s.dtype == "BF16") convert<uint16_t>(bytes, s, second, rows, widen_bfloat16);
}

// One slot out of the tensors that hold it, in ascending order of its rows.
template <class T>
void load_parameter(Context& ctx, const std::vector<const TensorSource*>& parts,
                    const Parameter<T>& p) {
  Tensor<T> matrix(p.w.n, p.w.k);
  int64_t row = 0;
  for (const TensorSource* part : parts) {
    const auto [first, last] = part->rows;
    if (first != row || last <= first || last > p.w.n) {
      fail("BAD_CHECKPOINT", describe(part->ref), ": rows ", first, " to ", last,
           " were given after the first ", row, " of ", p.w.n);
    }
    load_rows<T>(*part, {matrix.m.row(first), last - first, p.w.k, p.w.k});
    row = last;
  }
  if (row != p.w.n) {
    fail("BAD_CHECKPOINT", describe(p.ref), " has ", p.w.n, " rows; only ", row, " were given");
  }
  write_parameter(ctx, p, matrix.data());
}

}  // namespace

template <class T>
void read_parameter(Context& ctx, const Parameter<T>& p, T* out) {
  ops::unpack(ctx, ops::Unpack<T>{.matrix = {out, p.w.n, p.w.k, p.w.k}, .w = p.w});
}

template <class T>
void write_parameter(Context& ctx, const Parameter<T>& p, const T* values) {
  ops::pack(ctx, ops::Pack<T>{.w = p.w, .matrix = {values, p.w.n, p.w.k, p.w.k}});
}

template <class T>
Weights<T>::Weights(Context& ctx, const Spec& spec, const std::vector<TensorSource>& sources,
                    Storage storage) {
  std::map<SlotRef, std::vector<const TensorSource*>> given;
  for (const auto& source : sources) given[source.ref].push_back(&source);
  const auto total = static_cast<int64_t>(given.size());
  int64_t done = 0;
  const auto take = [&](const SlotShape& shape, int64_t layer) -> const Parameter<T>* {
    const SlotRef ref{shape.slot, layer, shape.expert};
    const auto found = given.find(ref);
    if (found == given.end()) {
      if (shape.required) fail("BAD_CHECKPOINT", describe(ref), " is missing");
      return nullptr;
    }
    check_cancelled(ctx);
    auto parameter = make_parameter<T>(ref, shape.rows, shape.cols, storage);
    load_parameter(ctx, found->second, *parameter);
    given.erase(found);
    if (ctx.progress) ctx.progress(++done, total);
    return (all_[ref] = std::move(parameter)).get();
  };
  for (const auto& shape : model_slots(spec)) take(shape, -1);
  const auto model_slot = [&](const char* slot) { return find({slot, -1}); };
  embed = model_slot("embed");
  pos_embed = model_slot("posEmbed");
  final_norm = model_slot("finalNorm");
  final_norm_bias = model_slot("finalNormBias");
  unembed = spec.tied ? embed : model_slot("unembed");
  unembed_bias = model_slot("unembedBias");
  for (int64_t l = 0; l < spec.layers; ++l) {
    for (const auto& shape : layer_slots(spec)) take(shape, l);
    const auto slot = [&](const char* name) { return find({name, l}); };
    const auto mlp = [&](int64_t expert) {
      const auto of = [&](const char* name) { return find({name, l, expert}); };
      return MlpWeights<T>{of("wGate"), of("wUp"), of("wDown"),
                           of("bGate"), of("bUp"), of("bDown")};
    };
    LayerWeights<T>& layer = layers.emplace_back();
    layer = {.attn_norm = slot("attnNorm"),
             .attn_norm_bias = slot("attnNormBias"),
             .wq = slot("wq"),
             .wk = slot("wk"),
             .wv = slot("wv"),
             .wo = slot("wo"),
             .bq = slot("bq"),
             .bk = slot("bk"),
             .bv = slot("bv"),
             .bo = slot("bo"),
             .q_norm = slot("qNorm"),
             .k_norm = slot("kNorm"),
             .attn_post_norm = slot("attnPostNorm"),
             .mlp_norm = slot(spec.shared_norm ? "attnNorm" : "mlpNorm"),
             .mlp_norm_bias = slot(spec.shared_norm ? "attnNormBias" : "mlpNormBias"),
             .mlp = mlp(-1),
             .mlp_post_norm = slot("mlpPostNorm"),
             .router = slot("router"),
             .experts = {}};
    for (int64_t e = 0; e < spec.experts; ++e) layer.experts.push_back(mlp(e));
  }
  if (!given.empty()) {
    fail("BAD_CHECKPOINT", describe(given.begin()->first), " is no slot of this model");
  }
}

template <class T>
const Parameter<T>* Weights<T>::find(const SlotRef& ref) const {
  const auto found = all_.find(ref);
  return found == all_.end() ? nullptr : found->second.get();
}

template <class T>
const Parameter<T>& Weights<T>::at(const SlotRef& ref) const {
  const auto* parameter = find(ref);
  if (!parameter) fail("BAD_ARGUMENT", "this model has no weight ", describe(ref));
  return *parameter;
}

template class Weights<float>;
template class Weights<double>;
template void read_parameter(Context&, const Parameter<float>&, float*);
template void read_parameter(Context&, const Parameter<double>&, double*);
template void write_parameter(Context&, const Parameter<float>&, const float*);
template void write_parameter(Context&, const Parameter<double>&, const double*);

}  // namespace keyheads
