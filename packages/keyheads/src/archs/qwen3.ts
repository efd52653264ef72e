// Qwen3 (Yang et al. 2025): every query and key head is normed before rotary; head_dim is its own.
import { attention, buffers, gatedMlp, model, norms, outBias, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const qwen3 = defineArch({
  name: "qwen3",
  huggingface: ["Qwen3ForCausalLM"],
  modelType: "qwen3",
  choices: {
    norm: "rms",
    qkNorm: "head",
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: { key: "attention_bias", absent: false },
    outBias: { key: "attention_bias", absent: false },
    mlpBias: false,
    tied: { key: "tie_word_embeddings", absent: false },
    windows: {
      size: { key: "sliding_window", absent: 4096 },
      when: { key: "use_sliding_window", absent: false },
      layers: { from: { key: "max_window_layers", absent: 28 } },
      layerTypes: true,
    },
  },
  sizes: {
    ...sizes,
    kvHeads: { key: "num_key_value_heads", absent: 32, null: "num_attention_heads" },
    dHead: { key: "head_dim", absent: 128 },
    context: { key: "max_position_embeddings", absent: 32_768 },
    normEps: { key: "rms_norm_eps", absent: 1e-6 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  harmless: ["attention_dropout"],
  weights: {
    ...model,
    layer: {
      ...norms,
      ...attention,
      ...qkvBias,
      ...outBias,
      qNorm: "model.layers.{i}.self_attn.q_norm.weight",
      kNorm: "model.layers.{i}.self_attn.k_norm.weight",
      ...gatedMlp,
    },
  },
  ignored: buffers,
});
