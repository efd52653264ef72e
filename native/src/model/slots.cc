#include "model/slots.h"

#include "model/spec.h"

namespace keyheads {

std::string describe(const SlotRef& ref) {
  std::string text = ref.slot;
  if (ref.expert >= 0) text += " of expert " + std::to_string(ref.expert);
  if (ref.layer >= 0) text += " of layer " + std::to_string(ref.layer);
  return text;
}

std::vector<SlotShape> model_slots(const Spec& s) {
  return {
      {"embed", s.vocab, s.d_model, true},      {"posEmbed", s.context + s.position_offset, s.d_model, !s.rotary},
      {"finalNorm", s.d_model, 1, true},        {"finalNormBias", s.d_model, 1, false},
      {"unembed", s.vocab, s.d_model, !s.tied}, {"unembedBias", s.vocab, 1, false},
  };
}

std::vector<SlotShape> layer_slots(const Spec& s) {
  const int64_t d = s.d_model, q = s.q_width(), kv = s.kv_width(), m = s.d_mlp;
  return {
      {"attnNorm", d, 1, s.pre_norm}, {"attnNormBias", d, 1, false}, {"wq", q, d, true},
      {"bq", q, 1, false},      {"wk", kv, d, true},           {"bk", kv, 1, false},
      {"wv", kv, d, true},      {"bv", kv, 1, false},          {"wo", d, q, true},
      {"bo", d, 1, false},      {"mlpNorm", d, 1, true},       {"mlpNormBias", d, 1, false},
      {"wGate", m, d, s.gated}, {"bGate", m, 1, false},        {"wUp", m, d, true},
      {"bUp", m, 1, false},     {"wDown", d, m, true},         {"bDown", d, 1, false},
  };
}

}  // namespace keyheads
