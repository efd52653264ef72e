// Mixtral (Jiang et al. 2024): Mistral with a mixture of experts for every MLP.
import { attention, buffers, model, norms, sizes } from "./names.ts";
import { defineArch } from "./spec.ts";

export const mixtral = defineArch({
  name: "mixtral",
  huggingface: ["MixtralForCausalLM"],
  modelType: "mixtral",
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
    experts: {
      count: { key: "num_local_experts", absent: 8 },
      perToken: { key: "num_experts_per_tok", absent: 2 },
    },
  },
  sizes: {
    ...sizes,
    kvHeads: { key: "num_key_value_heads", absent: 8, null: "num_attention_heads" },
    context: { key: "max_position_embeddings", absent: 131_072 },
    normEps: { key: "rms_norm_eps", absent: 1e-5 },
  },
  rotary: { theta: { key: "rope_theta", absent: 1_000_000 } },
  // With it transformers adds a term to the loss.
  supported: { output_router_logits: [false] },
  harmless: ["attention_dropout", "router_aux_loss_coef", "router_jitter_noise"],
  weights: {
    ...model,
    layer: {
      ...norms,
      ...attention,
      router: "model.layers.{i}.block_sparse_moe.gate.weight",
      wGate: "model.layers.{i}.block_sparse_moe.experts.{j}.w1.weight",
      wUp: "model.layers.{i}.block_sparse_moe.experts.{j}.w3.weight",
      wDown: "model.layers.{i}.block_sparse_moe.experts.{j}.w2.weight",
    },
  },
  ignored: buffers,
});
