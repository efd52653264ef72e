// Phi-3 and Phi-4-mini (Abdin et al. 2024): LLaMA with q, k and v in one tensor, gate and up in one.
import { buffers, model, norms, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

const qkv = {
  from: "model.layers.{i}.self_attn.qkv_proj.weight",
  stacked: ["wq", "wk", "wv"],
} as const;
const gateUp = {
  from: "model.layers.{i}.mlp.gate_up_proj.weight",
  stacked: ["wGate", "wUp"],
} as const;

export const phi3 = defineArch({
  name: "phi3",
  huggingface: ["Phi3ForCausalLM"],
  modelType: "phi3",
  choices: {
    norm: "rms",
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    tied: { key: "tie_word_embeddings", absent: false },
    windows: { size: { key: "sliding_window", absent: null }, layers: "all" },
  },
  sizes: {
    ...sizes,
    context: { key: "max_position_embeddings", absent: 4096 },
    normEps: { key: "rms_norm_eps", absent: 1e-5 },
  },
  rotary: {
    theta: { key: "rope_theta", absent: 10_000 },
    fraction: { key: "partial_rotary_factor", absent: 1 },
    trained: { key: "original_max_position_embeddings", absent: 4096 },
    // Before it had its name, longrope was called su or, in this family, yarn.
    types: { default: "default", longrope: "longrope", su: "longrope", yarn: "longrope" },
  },
  supported: { attention_bias: [false], mlp_bias: [false], lm_head_bias: [false] },
  harmless: [
    "attention_dropout",
    "embd_pdrop",
    "full_attn_mod",
    "interpolate_factor",
    "resid_pdrop",
  ],
  weights: {
    ...model,
    layer: {
      ...norms,
      wq: qkv,
      wk: qkv,
      wv: qkv,
      wo: "model.layers.{i}.self_attn.o_proj.weight",
      wGate: gateUp,
      wUp: gateUp,
      wDown: "model.layers.{i}.mlp.down_proj.weight",
    },
  },
  ignored: buffers,
});
