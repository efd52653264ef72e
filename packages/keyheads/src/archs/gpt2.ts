// GPT-2 (Radford et al. 2019) as Hugging Face stores it: linear layers are Conv1D, [in, out], with
// q, k and v side by side in one of them.
import { unusedOfGpt2 } from "./names.ts";
import { defineArch } from "./spec.ts";

const transposed = (from: string) => ({ from, transpose: true }) as const;
const qkv = {
  from: "h.{i}.attn.c_attn.weight",
  transpose: true,
  stacked: ["wq", "wk", "wv"],
} as const;
const bias = { from: "h.{i}.attn.c_attn.bias", stacked: ["bq", "bk", "bv"] } as const;

export const gpt2 = defineArch({
  name: "gpt2",
  huggingface: ["GPT2LMHeadModel"],
  modelType: "gpt2",
  choices: {
    norm: "layer",
    position: "learned",
    gated: false,
    activation: { key: "activation_function", absent: "gelu_new" },
    qkvBias: true,
    outBias: true,
    mlpBias: true,
    tied: { key: "tie_word_embeddings", absent: true },
    scaledScores: { key: "scale_attn_weights", absent: true },
    scoresDividedByLayer: { key: "scale_attn_by_inverse_layer_idx", absent: false },
  },
  sizes: {
    layers: "n_layer",
    dModel: "n_embd",
    heads: "n_head",
    kvHeads: "n_head",
    dHead: { of: "n_embd", dividedBy: "n_head" },
    dMlp: { key: "n_inner", absent: { times: 4, of: "n_embd" } },
    vocab: "vocab_size",
    context: { key: "n_positions", absent: { key: "n_ctx", absent: 1024 } },
    normEps: { key: "layer_norm_epsilon", absent: 1e-5 },
  },
  supported: { add_cross_attention: [false] },
  harmless: [
    ...unusedOfGpt2,
    // The same product in another order and precision: no difference in float32 or float64.
    "reorder_and_upcast_attn",
  ],
  weights: {
    embed: "wte.weight",
    posEmbed: "wpe.weight",
    finalNorm: "ln_f.weight",
    finalNormBias: "ln_f.bias",
    unembed: "lm_head.weight",
    layer: {
      attnNorm: "h.{i}.ln_1.weight",
      attnNormBias: "h.{i}.ln_1.bias",
      wq: qkv,
      wk: qkv,
      wv: qkv,
      bq: bias,
      bk: bias,
      bv: bias,
      wo: transposed("h.{i}.attn.c_proj.weight"),
      bo: "h.{i}.attn.c_proj.bias",
      mlpNorm: "h.{i}.ln_2.weight",
      mlpNormBias: "h.{i}.ln_2.bias",
      wUp: transposed("h.{i}.mlp.c_fc.weight"),
      bUp: "h.{i}.mlp.c_fc.bias",
      wDown: transposed("h.{i}.mlp.c_proj.weight"),
      bDown: "h.{i}.mlp.c_proj.bias",
    },
  },
  optionalPrefix: "transformer.",
  ignored: ["h.{i}.attn.bias", "h.{i}.attn.masked_bias"],
});
