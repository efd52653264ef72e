// Gemma 2 (Gemma Team 2024): norms on both sides with 1 + weight, soft-caps, a window in every other
// layer, scaled embeddings.
import { attention, buffers, gatedMlp, model, outBias, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const gemma2 = defineArch({
  name: "gemma2",
  huggingface: ["Gemma2ForCausalLM"],
  modelType: "gemma2",
  choices: {
    norm: "rms",
    normPlacement: "both",
    normPlusOne: true,
    position: "rotary",
    gated: true,
    activation: { key: "hidden_activation", absent: "gelu_pytorch_tanh" },
    qkvBias: { key: "attention_bias", absent: false },
    outBias: { key: "attention_bias", absent: false },
    mlpBias: false,
    tied: { key: "tie_word_embeddings", absent: true },
    scoresDividedByRootOf: { key: "query_pre_attn_scalar", absent: 256 },
    scoreCap: { key: "attn_logit_softcapping", absent: 50 },
    logitCap: { key: "final_logit_softcapping", absent: 30 },
    scaledEmbedding: true,
    windows: {
      size: { key: "sliding_window", absent: 4096 },
      layers: "even",
      layerTypes: true,
    },
  },
  sizes: {
    ...sizes,
    kvHeads: { key: "num_key_value_heads", absent: 4 },
    dHead: { key: "head_dim", absent: 256 },
    context: { key: "max_position_embeddings", absent: 8192 },
    normEps: { key: "rms_norm_eps", absent: 1e-6 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  supported: { use_bidirectional_attention: [false] },
  // hidden_act and sliding_window_size are written beside the keys that count.
  harmless: ["attention_dropout", "cache_implementation", "hidden_act", "sliding_window_size"],
  weights: {
    ...model,
    layer: {
      ...attention,
      ...qkvBias,
      ...outBias,
      attnNorm: "model.layers.{i}.input_layernorm.weight",
      attnPostNorm: "model.layers.{i}.post_attention_layernorm.weight",
      mlpNorm: "model.layers.{i}.pre_feedforward_layernorm.weight",
      mlpPostNorm: "model.layers.{i}.post_feedforward_layernorm.weight",
      ...gatedMlp,
    },
  },
  ignored: buffers,
});
