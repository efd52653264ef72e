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
  const int64_t d = s.d_model;
  std::vector<SlotShape> out = {
      {"embed", s.vocab, d, true}, {"finalNorm", d, 1, true}, {"unembedBias", s.vocab, 1, false}};
  if (s.layer_norm) out.push_back({"finalNormBias", d, 1, false});
  if (!s.rotary) out.push_back({"posEmbed", s.context + s.position_offset, d, true});
  if (!s.tied) out.push_back({"unembed", s.vocab, d, true});
  return out;
}

std::vector<SlotShape> layer_slots(const Spec& s) {
  const int64_t d = s.d_model, q = s.q_width(), kv = s.kv_width(), m = s.d_mlp;
  std::vector<SlotShape> out = {{"wq", q, d, true},   {"bq", q, 1, false}, {"wk", kv, d, true},
                                {"bk", kv, 1, false}, {"wv", kv, d, true}, {"bv", kv, 1, false},
                                {"wo", d, q, true},   {"bo", d, 1, false}};
  const auto norm = [&](const char* gain, const char* bias) {
    out.push_back({gain, d, 1, true});
    if (s.layer_norm) out.push_back({bias, d, 1, false});
  };
  if (s.pre_norm) norm("attnNorm", "attnNormBias");
  if (s.pre_norm && !s.shared_norm) norm("mlpNorm", "mlpNormBias");
  if (s.post_norm) {
    out.push_back({"attnPostNorm", d, 1, true});
    out.push_back({"mlpPostNorm", d, 1, true});
  }
  if (s.qk_norm != QkNorm::none) {
    const bool one = s.qk_norm == QkNorm::head;
    out.push_back({"qNorm", one ? s.d_head : q, 1, true});
    out.push_back({"kNorm", one ? s.d_head : kv, 1, true});
  }
  if (s.experts > 0) out.push_back({"router", s.experts, d, true});
  const auto mlp = [&](int64_t expert) {
    if (s.gated) out.push_back({"wGate", m, d, true, expert});
    out.push_back({"wUp", m, d, true, expert});
    out.push_back({"wDown", d, m, true, expert});
  };
  for (int64_t expert = 0; expert < s.experts; ++expert) mlp(expert);
  if (s.experts > 0) return out;
  mlp(-1);
  if (s.gated) out.push_back({"bGate", m, 1, false});
  out.push_back({"bUp", m, 1, false});
  out.push_back({"bDown", d, 1, false});
  return out;
}

}  // namespace keyheads
