// LLaMA (Touvron et al. 2023) and what shares its layout: Llama 2 and 3, TinyLlama, SmolLM.
import {
  attention,
  buffers,
  evenHeads,
  gatedMlp,
  model,
  norms,
  outBias,
  qkvBias,
  sizes,
} from "./names.ts";
import { defineArch } from "./spec.ts";

export const llama = defineArch({
  name: "llama",
  huggingface: ["LlamaForCausalLM"],
  modelType: "llama",
  choices: {
    norm: "rms",
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: { key: "attention_bias", absent: false },
    outBias: { key: "attention_bias", absent: false },
    mlpBias: { key: "mlp_bias", absent: false },
    tied: { key: "tie_word_embeddings", absent: false },
  },
  sizes: {
    ...sizes,
    ...evenHeads,
    context: { key: "max_position_embeddings", absent: 2048 },
    normEps: { key: "rms_norm_eps", absent: 1e-6 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  // pretraining_tp splits matrix products into sums of parts: the same mathematics.
  harmless: ["attention_dropout", "pretraining_tp"],
  weights: {
    ...model,
    layer: {
      ...norms,
      ...attention,
      ...qkvBias,
      ...outBias,
      ...gatedMlp,
      bGate: "model.layers.{i}.mlp.gate_proj.bias",
      bUp: "model.layers.{i}.mlp.up_proj.bias",
      bDown: "model.layers.{i}.mlp.down_proj.bias",
    },
  },
  ignored: buffers,
});
