// StableLM 3B and 2 (Bellagente et al. 2024): LayerNorm, rotary positions of a quarter of each head;
// the 12B model has parallel blocks under one norm, and a norm for every query and key head.
import { attention, buffers, gatedMlp, model, norms, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

const parallel = { key: "use_parallel_residual", absent: false } as const;

export const stablelm = defineArch({
  name: "stablelm",
  huggingface: ["StableLmForCausalLM"],
  modelType: "stablelm",
  choices: {
    norm: "layer",
    parallel,
    sharedNorm: parallel,
    qkNorm: { kind: "heads", when: { key: "qk_layernorm", absent: false } },
    position: "rotary",
    gated: true,
    activation: { key: "hidden_act", absent: "silu" },
    qkvBias: { key: "use_qkv_bias", absent: false },
    outBias: false,
    mlpBias: false,
    tied: { key: "tie_word_embeddings", absent: false },
  },
  sizes: {
    ...sizes,
    kvHeads: { key: "num_key_value_heads", absent: 32 },
    dHead: { of: "hidden_size", dividedBy: "num_attention_heads" },
    context: { key: "max_position_embeddings", absent: 4096 },
    normEps: { key: "layer_norm_eps", absent: 1e-5 },
  },
  rotary: {
    theta: { key: "rope_theta", absent: 10_000 },
    fraction: { key: "partial_rotary_factor", absent: 0.25 },
    even: true,
  },
  supported: { rotary_scaling_factor: [1] },
  harmless: ["attention_dropout", "hidden_dropout"],
  weights: {
    ...model,
    finalNormBias: "model.norm.bias",
    layer: {
      ...norms,
      attnNormBias: "model.layers.{i}.input_layernorm.bias",
      mlpNormBias: "model.layers.{i}.post_attention_layernorm.bias",
      ...attention,
      ...qkvBias,
      qNorm: "model.layers.{i}.self_attn.q_layernorm.norms.{h}.weight",
      kNorm: "model.layers.{i}.self_attn.k_layernorm.norms.{h}.weight",
      ...gatedMlp,
    },
  },
  ignored: buffers,
});
