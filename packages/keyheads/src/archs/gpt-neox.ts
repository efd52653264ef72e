// GPT-NeoX (Black et al. 2022) and Pythia: attention and MLP side by side, each under its own norm,
// rotary positions of a part of each head, q, k and v of a head together in one tensor.
import { sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

const attention = "gpt_neox.layers.{i}.attention";
const mlp = "gpt_neox.layers.{i}.mlp";
const weight = {
  from: `${attention}.query_key_value.weight`,
  byHead: ["wq", "wk", "wv"],
} as const;
const bias = { from: `${attention}.query_key_value.bias`, byHead: ["bq", "bk", "bv"] } as const;

export const gptNeox = defineArch({
  name: "gpt_neox",
  huggingface: ["GPTNeoXForCausalLM"],
  modelType: "gpt_neox",
  choices: {
    norm: "layer",
    parallel: { key: "use_parallel_residual", absent: true },
    position: "rotary",
    gated: false,
    activation: { key: "hidden_act", absent: "gelu" },
    qkvBias: { key: "attention_bias", absent: true },
    outBias: { key: "attention_bias", absent: true },
    mlpBias: true,
    tied: { key: "tie_word_embeddings", absent: false },
  },
  sizes: {
    ...sizes,
    kvHeads: "num_attention_heads",
    dHead: { of: "hidden_size", dividedBy: "num_attention_heads" },
    context: { key: "max_position_embeddings", absent: 2048 },
    normEps: { key: "layer_norm_eps", absent: 1e-5 },
  },
  rotary: {
    theta: { key: ["rotary_emb_base", "rope_theta"], absent: 10_000 },
    fraction: { key: ["rotary_pct", "partial_rotary_factor"], absent: 0.25 },
  },
  harmless: [
    "attention_dropout",
    "attention_probs_dropout_prob",
    "hidden_dropout",
    "hidden_dropout_prob",
  ],
  weights: {
    embed: "gpt_neox.embed_in.weight",
    finalNorm: "gpt_neox.final_layer_norm.weight",
    finalNormBias: "gpt_neox.final_layer_norm.bias",
    unembed: "embed_out.weight",
    layer: {
      attnNorm: "gpt_neox.layers.{i}.input_layernorm.weight",
      attnNormBias: "gpt_neox.layers.{i}.input_layernorm.bias",
      wq: weight,
      wk: weight,
      wv: weight,
      bq: bias,
      bk: bias,
      bv: bias,
      wo: `${attention}.dense.weight`,
      bo: `${attention}.dense.bias`,
      mlpNorm: "gpt_neox.layers.{i}.post_attention_layernorm.weight",
      mlpNormBias: "gpt_neox.layers.{i}.post_attention_layernorm.bias",
      wUp: `${mlp}.dense_h_to_4h.weight`,
      bUp: `${mlp}.dense_h_to_4h.bias`,
      wDown: `${mlp}.dense_4h_to_h.weight`,
      bDown: `${mlp}.dense_4h_to_h.bias`,
    },
  },
  ignored: [
    `${attention}.bias`,
    `${attention}.masked_bias`,
    `${attention}.rotary_emb.inv_freq`,
    `${attention}.rotary_emb.cos_cached`,
    `${attention}.rotary_emb.sin_cached`,
  ],
});
