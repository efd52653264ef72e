// OLMo 2 (Walsh et al. 2025): norms of what attention and MLP write, and of all queries and keys.
import { attention, buffers, gatedMlp, model, outBias, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const olmo2 = defineArch({
  name: "olmo2",
  huggingface: ["Olmo2ForCausalLM"],
  modelType: "olmo2",
  choices: {
    norm: "rms",
    normPlacement: "post",
    qkNorm: "width",
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: { key: "attention_bias", absent: false },
    outBias: { key: "attention_bias", absent: false },
    mlpBias: false,
    tied: { key: "tie_word_embeddings", absent: false },
  },
  sizes: {
    ...sizes,
    context: { key: "max_position_embeddings", absent: 2048 },
    normEps: { key: "rms_norm_eps", absent: 1e-5 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  harmless: ["attention_dropout"],
  weights: {
    ...model,
    layer: {
      ...attention,
      ...qkvBias,
      ...outBias,
      qNorm: "model.layers.{i}.self_attn.q_norm.weight",
      kNorm: "model.layers.{i}.self_attn.k_norm.weight",
      attnPostNorm: "model.layers.{i}.post_attention_layernorm.weight",
      mlpPostNorm: "model.layers.{i}.post_feedforward_layernorm.weight",
      ...gatedMlp,
    },
  },
  ignored: buffers,
});
