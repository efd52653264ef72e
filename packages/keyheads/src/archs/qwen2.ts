// Qwen2 and Qwen2.5 (Yang et al. 2024): LLaMA with biases of q, k and v.
import { attention, buffers, gatedMlp, model, norms, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const qwen2 = defineArch({
  name: "qwen2",
  huggingface: ["Qwen2ForCausalLM"],
  modelType: "qwen2",
  choices: {
    norm: "rms",
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: true,
    outBias: false,
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
    context: { key: "max_position_embeddings", absent: 32_768 },
    normEps: { key: "rms_norm_eps", absent: 1e-6 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  supported: { use_mrope: [false] },
  harmless: ["attention_dropout"],
  weights: { ...model, layer: { ...norms, ...attention, ...qkvBias, ...gatedMlp } },
  ignored: buffers,
});
