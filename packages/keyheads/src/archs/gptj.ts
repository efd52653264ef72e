// GPT-J (Wang & Komatsuzaki 2021): attention and MLP side by side under one norm, rotary positions
// of adjacent dimensions, a bias of the output projection.
import { unusedOfGpt2 } from "./names.ts";
import { defineArch } from "./spec.ts";

export const gptj = defineArch({
  name: "gptj",
  huggingface: ["GPTJForCausalLM"],
  modelType: "gptj",
  choices: {
    norm: "layer",
    parallel: true,
    sharedNorm: true,
    position: "rotary",
    gated: false,
    activation: { key: "activation_function", absent: "gelu_new" },
    qkvBias: false,
    outBias: false,
    mlpBias: true,
    unembedBias: true,
    tied: { key: "tie_word_embeddings", absent: false },
  },
  sizes: {
    layers: "n_layer",
    dModel: "n_embd",
    heads: "n_head",
    kvHeads: "n_head",
    dHead: { of: "n_embd", dividedBy: "n_head" },
    dMlp: { key: "n_inner", absent: { times: 4, of: "n_embd" } },
    vocab: "vocab_size",
    context: { key: "n_positions", absent: 2048 },
    normEps: { key: "layer_norm_epsilon", absent: 1e-5 },
  },
  rotary: { theta: 10_000, dimensions: { key: "rotary_dim", absent: 64 }, pairs: "adjacent" },
  supported: { rotary: [true], scale_attn_weights: [true] },
  harmless: unusedOfGpt2,
  weights: {
    embed: "wte.weight",
    finalNorm: "ln_f.weight",
    finalNormBias: "ln_f.bias",
    unembed: "lm_head.weight",
    unembedBias: "lm_head.bias",
    layer: {
      attnNorm: "h.{i}.ln_1.weight",
      attnNormBias: "h.{i}.ln_1.bias",
      wq: "h.{i}.attn.q_proj.weight",
      wk: "h.{i}.attn.k_proj.weight",
      wv: "h.{i}.attn.v_proj.weight",
      wo: "h.{i}.attn.out_proj.weight",
      wUp: "h.{i}.mlp.fc_in.weight",
      bUp: "h.{i}.mlp.fc_in.bias",
      wDown: "h.{i}.mlp.fc_out.weight",
      bDown: "h.{i}.mlp.fc_out.bias",
    },
  },
  optionalPrefix: "transformer.",
  ignored: ["h.{i}.attn.bias", "h.{i}.attn.masked_bias", "h.{i}.attn.embed_positions"],
});
