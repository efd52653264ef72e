// What the decoder computes, as constants (ModelSpec of binding.ts). No names of model families.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/activation.h"

namespace keyheads {

struct Spec {
  int64_t layers, d_model, heads, kv_heads, d_head, d_mlp, vocab, context;
  bool layer_norm;  // else RMSNorm
  double norm_eps;
  bool rotary;  // else learned positions
  std::vector<double> inverse_frequencies;
  ops::Activation activation;
  bool gated;
  double attention_scale;
  bool tied;

  int64_t q_width() const { return heads * d_head; }
  int64_t kv_width() const { return kv_heads * d_head; }
};

}  // namespace keyheads
