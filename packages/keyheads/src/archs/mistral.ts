// Mistral 7B (Jiang et al. 2023) and NeMo: LLaMA with a window over the last keys.
import { attention, buffers, gatedMlp, model, norms, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const mistral = defineArch({
  name: "mistral",
  huggingface: ["MistralForCausalLM"],
  modelType: "mistral",
  choices: {
    norm: "rms",
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    tied: { key: "tie_word_embeddings", absent: false },
    windows: { size: { key: "sliding_window", absent: 4096 }, layers: "all" },
  },
  sizes: {
    ...sizes,
    kvHeads: { key: "num_key_value_heads", absent: 8, null: "num_attention_heads" },
    context: { key: "max_position_embeddings", absent: 131_072 },
    normEps: { key: "rms_norm_eps", absent: 1e-6 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  harmless: ["attention_dropout"],
  weights: { ...model, layer: { ...norms, ...attention, ...gatedMlp } },
  ignored: buffers,
});
