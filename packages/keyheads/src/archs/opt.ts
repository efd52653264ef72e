// OPT (Zhang et al. 2022): learned positions that begin at the third row of their table.
import { defineArch } from "./spec.ts";

const attention = "decoder.layers.{i}.self_attn";

export const opt = defineArch({
  name: "opt",
  huggingface: ["OPTForCausalLM"],
  modelType: "opt",
  choices: {
    norm: "layer",
    position: "learned",
    gated: false,
    activation: { key: "activation_function", absent: "relu" },
    qkvBias: { key: "enable_bias", absent: true },
    outBias: { key: "enable_bias", absent: true },
    mlpBias: { key: "enable_bias", absent: true },
    tied: { key: "tie_word_embeddings", absent: true },
  },
  sizes: {
    layers: "num_hidden_layers",
    dModel: "hidden_size",
    heads: "num_attention_heads",
    kvHeads: "num_attention_heads",
    dHead: { of: "hidden_size", dividedBy: "num_attention_heads" },
    dMlp: "ffn_dim",
    vocab: "vocab_size",
    context: { key: "max_position_embeddings", absent: 2048 },
    normEps: 1e-5,
  },
  positionOffset: 2,
  supported: {
    do_layer_norm_before: {
      only: [true],
      why: "norms of the residual stream itself leave no sum that heads and MLPs add to, which path patching and edges are about",
    },
    _remove_final_layer_norm: [false],
    layer_norm_elementwise_affine: {
      only: [true],
      why: "every norm has a weight here, which can be trained and saved",
    },
    word_embed_proj_dim: {
      sameAs: "hidden_size",
      why: "projections around the embeddings are in OPT-350M only, whose norms are not supported",
    },
  },
  harmless: ["activation_dropout", "attention_dropout", "dropout", "init_std", "layerdrop"],
  weights: {
    embed: "decoder.embed_tokens.weight",
    posEmbed: "decoder.embed_positions.weight",
    finalNorm: "decoder.final_layer_norm.weight",
    finalNormBias: "decoder.final_layer_norm.bias",
    unembed: "lm_head.weight",
    layer: {
      attnNorm: "decoder.layers.{i}.self_attn_layer_norm.weight",
      attnNormBias: "decoder.layers.{i}.self_attn_layer_norm.bias",
      wq: `${attention}.q_proj.weight`,
      wk: `${attention}.k_proj.weight`,
      wv: `${attention}.v_proj.weight`,
      wo: `${attention}.out_proj.weight`,
      bq: `${attention}.q_proj.bias`,
      bk: `${attention}.k_proj.bias`,
      bv: `${attention}.v_proj.bias`,
      bo: `${attention}.out_proj.bias`,
      mlpNorm: "decoder.layers.{i}.final_layer_norm.weight",
      mlpNormBias: "decoder.layers.{i}.final_layer_norm.bias",
      wUp: "decoder.layers.{i}.fc1.weight",
      bUp: "decoder.layers.{i}.fc1.bias",
      wDown: "decoder.layers.{i}.fc2.weight",
      bDown: "decoder.layers.{i}.fc2.bias",
    },
  },
  optionalPrefix: "model.",
});
