// What most families call their weights, following LLaMA. A family spreads the groups that it shares
// and names the rest.

export const model = {
  embed: "model.embed_tokens.weight",
  finalNorm: "model.norm.weight",
  unembed: "lm_head.weight",
};

export const norms = {
  attnNorm: "model.layers.{i}.input_layernorm.weight",
  mlpNorm: "model.layers.{i}.post_attention_layernorm.weight",
};

export const attention = {
  wq: "model.layers.{i}.self_attn.q_proj.weight",
  wk: "model.layers.{i}.self_attn.k_proj.weight",
  wv: "model.layers.{i}.self_attn.v_proj.weight",
  wo: "model.layers.{i}.self_attn.o_proj.weight",
};

export const qkvBias = {
  bq: "model.layers.{i}.self_attn.q_proj.bias",
  bk: "model.layers.{i}.self_attn.k_proj.bias",
  bv: "model.layers.{i}.self_attn.v_proj.bias",
};

export const outBias = { bo: "model.layers.{i}.self_attn.o_proj.bias" };

export const gatedMlp = {
  wGate: "model.layers.{i}.mlp.gate_proj.weight",
  wUp: "model.layers.{i}.mlp.up_proj.weight",
  wDown: "model.layers.{i}.mlp.down_proj.weight",
};

/** Dropout and classification heads, in the spelling of GPT-2 and GPT-J: nothing that runs here. */
export const unusedOfGpt2 = [
  "attn_pdrop",
  "embd_pdrop",
  "n_ctx",
  "resid_pdrop",
  "summary_activation",
  "summary_first_dropout",
  "summary_proj_to_labels",
  "summary_type",
  "summary_use_proj",
] as const;

/** Buffers that older files contain. */
export const buffers = ["model.layers.{i}.self_attn.rotary_emb.inv_freq"];

/**
 * Sizes of the keys that transformers gives most families. The width of a head is rounded down where
 * the heads do not divide the model's; families that demand that they do say so (`evenHeads`).
 */
export const sizes = {
  layers: "num_hidden_layers",
  dModel: "hidden_size",
  heads: "num_attention_heads",
  kvHeads: { key: "num_key_value_heads", absent: "num_attention_heads" },
  dHead: {
    key: "head_dim",
    absent: { of: "hidden_size", dividedBy: "num_attention_heads", down: true },
  },
  dMlp: "intermediate_size",
  vocab: "vocab_size",
} as const;

export const evenHeads = {
  dHead: { key: "head_dim", absent: { of: "hidden_size", dividedBy: "num_attention_heads" } },
} as const;
