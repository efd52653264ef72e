// Generated from native/src/schema by `npm run generate`.
export const schemaHash = "61dd767ed9d1";

export const hookTable = {
  /** W_E[token], scaled where the model scales it */
  embed: {
    id: 0,
    name: "hook_embed",
    per: "model",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** W_pos[position] */
  pos_embed: {
    id: 1,
    name: "hook_pos_embed",
    per: "model",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "learned",
  },
  /** residual stream entering the block; block 0: embed (+ pos_embed) */
  resid_pre: {
    id: 2,
    name: "blocks.{i}.hook_resid_pre",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** resid_pre, one copy a head, read by its q, k and v (not with grouped queries) */
  attn_in: {
    id: 3,
    name: "blocks.{i}.hook_attn_in",
    per: "layer",
    heads: "query",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** resid_pre (or attn_in), one copy a query head, read by its q */
  q_input: {
    id: 4,
    name: "blocks.{i}.hook_q_input",
    per: "layer",
    heads: "query",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** resid_pre (or attn_in), one copy a key/value head, read by its k */
  k_input: {
    id: 5,
    name: "blocks.{i}.hook_k_input",
    per: "layer",
    heads: "kv",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** resid_pre (or attn_in), one copy a key/value head, read by its v */
  v_input: {
    id: 6,
    name: "blocks.{i}.hook_v_input",
    per: "layer",
    heads: "kv",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** sqrt(mean((x - m)^2) + eps), x = resid_pre, m = mean(x) for LayerNorm, 0 for RMSNorm */
  ln1_scale: {
    id: 7,
    name: "blocks.{i}.ln1.hook_scale",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "one",
    when: "prenorm",
  },
  /** (resid_pre - m) / ln1.scale, before the norm's weight and bias */
  ln1_normalized: {
    id: 8,
    name: "blocks.{i}.ln1.hook_normalized",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "prenorm",
  },
  /** norm(q_input) W_Q + b_Q, before q/k norm and rotary */
  q: {
    id: 9,
    name: "blocks.{i}.attn.hook_q",
    per: "layer",
    heads: "query",
    rows: "token",
    width: "d_head",
    when: "always",
  },
  /** norm(k_input) W_K + b_K, before q/k norm and rotary */
  k: {
    id: 10,
    name: "blocks.{i}.attn.hook_k",
    per: "layer",
    heads: "kv",
    rows: "token",
    width: "d_head",
    when: "always",
  },
  /** norm(v_input) W_V + b_V */
  v: {
    id: 11,
    name: "blocks.{i}.attn.hook_v",
    per: "layer",
    heads: "kv",
    rows: "token",
    width: "d_head",
    when: "always",
  },
  /** q, normed where the model has a q/k norm, rotated by its position */
  rot_q: {
    id: 12,
    name: "blocks.{i}.attn.hook_rot_q",
    per: "layer",
    heads: "query",
    rows: "token",
    width: "d_head",
    when: "rotary",
  },
  /** k, normed where the model has a q/k norm, rotated by its position */
  rot_k: {
    id: 13,
    name: "blocks.{i}.attn.hook_rot_k",
    per: "layer",
    heads: "kv",
    rows: "token",
    width: "d_head",
    when: "rotary",
  },
  /** s = scale (rot_)q . (rot_)k, with a soft-cap c tanh(s / c); -inf where masked */
  attn_scores: {
    id: 14,
    name: "blocks.{i}.attn.hook_attn_scores",
    per: "layer",
    heads: "query",
    rows: "pattern",
    width: "key",
    when: "always",
  },
  /** softmax(attn_scores) over keys */
  pattern: {
    id: 15,
    name: "blocks.{i}.attn.hook_pattern",
    per: "layer",
    heads: "query",
    rows: "pattern",
    width: "key",
    when: "always",
  },
  /** pattern @ v of the head's group */
  z: {
    id: 16,
    name: "blocks.{i}.attn.hook_z",
    per: "layer",
    heads: "query",
    rows: "token",
    width: "d_head",
    when: "always",
  },
  /** z W_O of one head, without b_O */
  result: {
    id: 17,
    name: "blocks.{i}.attn.hook_result",
    per: "layer",
    heads: "query",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** sum of result over heads + b_O, before any post-norm */
  attn_out_raw: {
    id: 18,
    name: "blocks.{i}.attn.hook_out_raw",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** sqrt(mean((x - m)^2) + eps), x = attn.hook_out_raw */
  ln1_post_scale: {
    id: 19,
    name: "blocks.{i}.ln1_post.hook_scale",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "one",
    when: "postnorm",
  },
  /** (attn.hook_out_raw - m) / ln1_post.scale, before the norm's weight */
  ln1_post_normalized: {
    id: 20,
    name: "blocks.{i}.ln1_post.hook_normalized",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "postnorm",
  },
  /** what attention adds to the residual stream: out_raw, normed where there is a post-norm */
  attn_out: {
    id: 21,
    name: "blocks.{i}.hook_attn_out",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** resid_pre + attn_out */
  resid_mid: {
    id: 22,
    name: "blocks.{i}.hook_resid_mid",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "sequential",
  },
  /** copy of resid_mid (parallel blocks: resid_pre) that only the MLP and its norm read */
  mlp_in: {
    id: 23,
    name: "blocks.{i}.hook_mlp_in",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** sqrt(mean((x - m)^2) + eps), x = mlp_in */
  ln2_scale: {
    id: 24,
    name: "blocks.{i}.ln2.hook_scale",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "one",
    when: "prenorm",
  },
  /** (mlp_in - m) / ln2.scale, before the norm's weight and bias */
  ln2_normalized: {
    id: 25,
    name: "blocks.{i}.ln2.hook_normalized",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "prenorm",
  },
  /** norm W_in + b_in; gated: norm W_gate + b_gate */
  mlp_pre: {
    id: 26,
    name: "blocks.{i}.mlp.hook_pre",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_mlp",
    when: "dense",
  },
  /** norm W_in + b_in */
  mlp_pre_linear: {
    id: 27,
    name: "blocks.{i}.mlp.hook_pre_linear",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_mlp",
    when: "gated_dense",
  },
  /** act(pre); gated: act(pre) * pre_linear */
  mlp_post: {
    id: 28,
    name: "blocks.{i}.mlp.hook_post",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_mlp",
    when: "dense",
  },
  /** the chosen experts, highest logit of the router first; to choose others, write expert_weights */
  expert_indices: {
    id: 29,
    name: "blocks.{i}.mlp.hook_expert_indices",
    per: "layer",
    heads: "none",
    rows: "choice",
    width: "chosen",
    when: "mixture",
  },
  /** softmax of the router's logits over the chosen experts, 0 for the others */
  expert_weights: {
    id: 30,
    name: "blocks.{i}.mlp.hook_expert_weights",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "experts",
    when: "mixture",
  },
  /** norm W_gate + b_gate of every expert; 0, and of no effect, for tokens that it is not chosen for */
  expert_gate: {
    id: 31,
    name: "blocks.{i}.mlp.experts.hook_gate",
    per: "layer",
    heads: "expert",
    rows: "token",
    width: "d_mlp",
    when: "gated_mixture",
  },
  /** norm W_in + b_in of every expert, likewise */
  expert_pre: {
    id: 32,
    name: "blocks.{i}.mlp.experts.hook_pre",
    per: "layer",
    heads: "expert",
    rows: "token",
    width: "d_mlp",
    when: "mixture",
  },
  /** act(pre); gated: act(gate) * pre; of every expert, likewise */
  expert_post: {
    id: 33,
    name: "blocks.{i}.mlp.experts.hook_post",
    per: "layer",
    heads: "expert",
    rows: "token",
    width: "d_mlp",
    when: "mixture",
  },
  /** post W_out + b_out (mixtures: sum over experts of expert_weights times the expert's output), before any post-norm */
  mlp_out_raw: {
    id: 34,
    name: "blocks.{i}.mlp.hook_out",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** sqrt(mean((x - m)^2) + eps), x = mlp.hook_out */
  ln2_post_scale: {
    id: 35,
    name: "blocks.{i}.ln2_post.hook_scale",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "one",
    when: "postnorm",
  },
  /** (mlp.hook_out - m) / ln2_post.scale, before the norm's weight */
  ln2_post_normalized: {
    id: 36,
    name: "blocks.{i}.ln2_post.hook_normalized",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "postnorm",
  },
  /** what the MLP adds to the residual stream: out, normed where there is a post-norm */
  mlp_out: {
    id: 37,
    name: "blocks.{i}.hook_mlp_out",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** resid_mid + mlp_out (parallel blocks: resid_pre + attn_out + mlp_out) */
  resid_post: {
    id: 38,
    name: "blocks.{i}.hook_resid_post",
    per: "layer",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
  /** sqrt(mean((x - m)^2) + eps), x = the last resid_post */
  ln_final_scale: {
    id: 39,
    name: "ln_final.hook_scale",
    per: "model",
    heads: "none",
    rows: "token",
    width: "one",
    when: "always",
  },
  /** (x - m) / scale, before the norm's weight and bias */
  ln_final_normalized: {
    id: 40,
    name: "ln_final.hook_normalized",
    per: "model",
    heads: "none",
    rows: "token",
    width: "d_model",
    when: "always",
  },
} as const;

/** TransformerLens v3's names, where they differ; `only` says in which models. */
export const hookAliases = [
  { id: "embed", name: "embed.hook_out" },
  { id: "pos_embed", name: "pos_embed.hook_out" },
  { id: "resid_pre", name: "blocks.{i}.hook_in" },
  { id: "attn_in", name: "blocks.{i}.attn.hook_attn_in" },
  { id: "q_input", name: "blocks.{i}.attn.hook_q_input" },
  { id: "k_input", name: "blocks.{i}.attn.hook_k_input" },
  { id: "v_input", name: "blocks.{i}.attn.hook_v_input" },
  { id: "q", name: "blocks.{i}.attn.q.hook_out" },
  { id: "k", name: "blocks.{i}.attn.k.hook_out" },
  { id: "v", name: "blocks.{i}.attn.v.hook_out" },
  { id: "z", name: "blocks.{i}.attn.o.hook_in" },
  { id: "result", name: "blocks.{i}.attn.hook_result" },
  { id: "attn_out_raw", name: "blocks.{i}.attn.hook_out", only: "postnorm" },
  { id: "attn_out", name: "blocks.{i}.attn.hook_out", only: "no_postnorm" },
  { id: "attn_out", name: "blocks.{i}.ln1_post.hook_out", only: "postnorm" },
  { id: "resid_mid", name: "blocks.{i}.ln2.hook_in", only: "prenorm" },
  { id: "mlp_pre", name: "blocks.{i}.mlp.in.hook_out", only: "plain" },
  { id: "mlp_pre", name: "blocks.{i}.mlp.gate.hook_out", only: "gated" },
  { id: "mlp_pre_linear", name: "blocks.{i}.mlp.in.hook_out" },
  { id: "mlp_post", name: "blocks.{i}.mlp.out.hook_in" },
  { id: "mlp_out", name: "blocks.{i}.ln2_post.hook_out", only: "postnorm" },
  { id: "resid_post", name: "blocks.{i}.hook_out" },
] as const;

export const normChoices = ["layer", "rms"] as const;
export const normPlacementChoices = ["pre", "post", "both"] as const;
export const blockChoices = ["sequential", "parallel"] as const;
export const qkNormChoices = ["none", "head", "heads", "width"] as const;
export const positionChoices = ["learned", "rotary"] as const;
export const rotaryPairsChoices = ["halves", "adjacent"] as const;
export const activationChoices = ["gelu", "gelu_new", "relu", "silu"] as const;
