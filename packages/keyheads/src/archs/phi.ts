// Phi-1, 1.5 and 2 (Gunasekar et al. 2023, Li et al. 2023): attention and MLP side by side under one
// norm, biases everywhere, rotary positions of half of each head.
import { model, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const phi = defineArch({
  name: "phi",
  huggingface: ["PhiForCausalLM"],
  modelType: "phi",
  choices: {
    norm: "layer",
    parallel: true,
    sharedNorm: true,
    position: "rotary",
    gated: false,
    activation: { key: "hidden_act", absent: "gelu_new" },
    qkvBias: true,
    outBias: true,
    mlpBias: true,
    unembedBias: true,
    tied: { key: "tie_word_embeddings", absent: false },
  },
  sizes: {
    ...sizes,
    context: { key: "max_position_embeddings", absent: 2048 },
    normEps: { key: "layer_norm_eps", absent: 1e-5 },
  },
  rotary: {
    theta: { key: "rope_theta", absent: 10_000 },
    fraction: { key: "partial_rotary_factor", absent: 0.5 },
    even: true,
  },
  supported: {
    qk_layernorm: {
      only: [false],
      why: "its norms of queries and keys have a bias, which there is no slot for; Phi-1, 1.5 and 2 have none",
    },
  },
  harmless: ["attention_dropout", "embd_pdrop", "resid_pdrop"],
  weights: {
    ...model,
    finalNorm: "model.final_layernorm.weight",
    finalNormBias: "model.final_layernorm.bias",
    unembedBias: "lm_head.bias",
    layer: {
      ...qkvBias,
      attnNorm: "model.layers.{i}.input_layernorm.weight",
      attnNormBias: "model.layers.{i}.input_layernorm.bias",
      wq: "model.layers.{i}.self_attn.q_proj.weight",
      wk: "model.layers.{i}.self_attn.k_proj.weight",
      wv: "model.layers.{i}.self_attn.v_proj.weight",
      wo: "model.layers.{i}.self_attn.dense.weight",
      bo: "model.layers.{i}.self_attn.dense.bias",
      wUp: "model.layers.{i}.mlp.fc1.weight",
      bUp: "model.layers.{i}.mlp.fc1.bias",
      wDown: "model.layers.{i}.mlp.fc2.weight",
      bDown: "model.layers.{i}.mlp.fc2.bias",
    },
  },
});
