// What the decoder computes, as constants (ModelSpec of binding.ts). No names of model families.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/activation.h"

namespace keyheads {

// Norm of queries and keys: of each head with one weight for all, or one each, or of the width.
enum class QkNorm : uint8_t { none, head, heads, width };

struct Spec {
  int64_t layers, d_model, heads, kv_heads, d_head, d_mlp, vocab, context;
  bool layer_norm;  // else RMSNorm
  double norm_eps;
  bool norm_plus_one;        // gain = 1 + weight
  bool pre_norm, post_norm;  // of what attention and MLP read, of what they write
  bool parallel;             // attention and MLP both read the block's input
  bool shared_norm;          // the MLP's norm has the weights of attention's
  QkNorm qk_norm;
  bool rotary;              // else learned positions
  int64_t position_offset;  // row of the table that belongs to position 0
  std::vector<double> inverse_frequencies;
  bool adjacent_pairs;  // dimensions 2 i and 2 i + 1 turn together, else i and i + n / 2
  double rotary_scale;
  ops::Activation activation;
  bool gated;
  int64_t experts, experts_per_token;    // 0: one dense MLP
  std::vector<double> attention_scales;  // of scores, per layer
  double score_cap, logit_cap;           // 0: none
  double embed_scale;
  std::vector<int64_t> windows;  // keys that a query sees, itself included, per layer; 0: all
  bool tied;

  int64_t q_width() const { return heads * d_head; }
  int64_t kv_width() const { return kv_heads * d_head; }
};

}  // namespace keyheads
