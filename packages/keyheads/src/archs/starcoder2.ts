// StarCoder 2 (Lozhkov et al. 2024): LayerNorm, biases everywhere, a plain MLP, grouped queries.
import { attention, buffers, model, norms, outBias, qkvBias, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const starcoder2 = defineArch({
  name: "starcoder2",
  huggingface: ["Starcoder2ForCausalLM"],
  modelType: "starcoder2",
  choices: {
    norm: "layer",
    position: "rotary",
    gated: false,
    activation: { key: "hidden_act", absent: "gelu_pytorch_tanh" },
    qkvBias: { key: "use_bias", absent: true },
    outBias: { key: "use_bias", absent: true },
    mlpBias: { key: "use_bias", absent: true },
    tied: { key: "tie_word_embeddings", absent: true },
    windows: { size: { key: "sliding_window", absent: null }, layers: "all" },
  },
  sizes: {
    ...sizes,
    kvHeads: { key: "num_key_value_heads", absent: 2 },
    context: { key: "max_position_embeddings", absent: 4096 },
    normEps: { key: "norm_epsilon", absent: 1e-5 },
  },
  rotary: { theta: { key: "rope_theta", absent: 10_000 } },
  supported: { mlp_type: ["default"], norm_type: ["layer_norm"], scale_attn_weights: [true] },
  harmless: [
    "attention_dropout",
    "attention_softmax_in_fp32",
    "embedding_dropout",
    "residual_dropout",
    "scale_attention_softmax_in_fp32",
  ],
  weights: {
    ...model,
    finalNormBias: "model.norm.bias",
    layer: {
      ...norms,
      attnNormBias: "model.layers.{i}.input_layernorm.bias",
      mlpNormBias: "model.layers.{i}.post_attention_layernorm.bias",
      ...attention,
      ...qkvBias,
      ...outBias,
      wUp: "model.layers.{i}.mlp.c_fc.weight",
      bUp: "model.layers.{i}.mlp.c_fc.bias",
      wDown: "model.layers.{i}.mlp.c_proj.weight",
      bDown: "model.layers.{i}.mlp.c_proj.bias",
    },
  },
  ignored: buffers,
});
