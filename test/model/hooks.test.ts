import { fileURLToPath } from "node:url";
import type { ModelSpec } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { hooks, listHooks, parseHook } from "../../packages/keyheads/src/hooks.ts";
import { compile } from "../archs/compile.ts";

const llama: ModelSpec = {
  layers: 3,
  dModel: 64,
  heads: 8,
  kvHeads: 2,
  dHead: 8,
  dMlp: 46,
  vocab: 131,
  context: 128,
  norm: "rms",
  normEps: 1e-5,
  position: "rotary",
  inverseFrequencies: new Float64Array(4),
  activation: "silu",
  gated: true,
  attentionScales: new Float64Array(2).fill(1),
  normPlusOne: false,
  normPlacement: "pre",
  block: "sequential",
  sharedNorm: false,
  qkNorm: "none",
  positionOffset: 0,
  rotaryPairs: "halves",
  rotaryScale: 1,
  experts: 0,
  expertsPerToken: 0,
  scoreCap: 0,
  logitCap: 0,
  embedScale: 1,
  windows: new Int32Array(2),
  tied: true,
};
const gpt2: ModelSpec = { ...llama, kvHeads: 8, position: "learned", gated: false };

const gemma: ModelSpec = { ...llama, normPlacement: "both" };

describe("hooks", () => {
  it("spell TransformerLens's names", () => {
    expect(hooks.z(3)).toBe("blocks.3.attn.hook_z");
    expect(hooks.resid_pre(0)).toBe("blocks.0.hook_resid_pre");
    expect(hooks.embed()).toBe("hook_embed");
    expect(hooks.ln_final_normalized()).toBe("ln_final.hook_normalized");
  });
  it("are typed by what they need", () => {
    const path = fileURLToPath(new URL("../../packages/keyheads/src/hooks.ts", import.meta.url));
    const using = (call: string) =>
      `import { hooks } from ${JSON.stringify(path)};\nexport const name = ${call};`;
    const errors = compile({
      right: using("[hooks.z(1), hooks.embed()]"),
      missingLayer: using("hooks.z()"),
      strayLayer: using("hooks.embed(1)"),
      unknown: using("hooks.zz(1)"),
    });
    expect(errors.right).toBe("");
    expect(errors.missingLayer).toContain("Expected 1 arguments, but got 0");
    expect(errors.strayLayer).toContain("Expected 0 arguments, but got 1");
    expect(errors.unknown).toContain("Property 'zz' does not exist");
  });
});

describe("parseHook", () => {
  it("inverts the constructors, for every hook of a model", () => {
    for (const spec of [llama, gpt2]) {
      for (const name of listHooks(spec)) {
        const { id, layer } = parseHook(name, spec);
        expect(layer < 0 ? (hooks[id] as () => string)() : hooks[id](layer)).toBe(name);
      }
    }
  });
  it.each<[string, ModelSpec, string]>([
    ["embed.hook_out", llama, "hook_embed"],
    ["pos_embed.hook_out", gpt2, "hook_pos_embed"],
    ["blocks.2.hook_in", llama, "blocks.2.hook_resid_pre"],
    ["blocks.2.hook_out", llama, "blocks.2.hook_resid_post"],
    ["blocks.1.attn.q.hook_out", llama, "blocks.1.attn.hook_q"],
    ["blocks.1.attn.k.hook_out", llama, "blocks.1.attn.hook_k"],
    ["blocks.1.attn.v.hook_out", llama, "blocks.1.attn.hook_v"],
    ["blocks.1.attn.o.hook_in", llama, "blocks.1.attn.hook_z"],
    ["blocks.1.attn.hook_q_input", llama, "blocks.1.hook_q_input"],
    ["blocks.1.attn.hook_result", llama, "blocks.1.attn.hook_result"],
    ["blocks.1.ln2.hook_in", llama, "blocks.1.hook_resid_mid"],
    ["blocks.1.mlp.in.hook_out", llama, "blocks.1.mlp.hook_pre_linear"],
    ["blocks.1.mlp.gate.hook_out", llama, "blocks.1.mlp.hook_pre"],
    ["blocks.1.mlp.in.hook_out", gpt2, "blocks.1.mlp.hook_pre"],
    ["blocks.1.mlp.out.hook_in", gpt2, "blocks.1.mlp.hook_post"],
    ["blocks.1.attn.hook_out", gpt2, "blocks.1.hook_attn_out"],
    ["blocks.1.attn.hook_out", gemma, "blocks.1.attn.hook_out_raw"],
    ["blocks.1.ln1_post.hook_out", gemma, "blocks.1.hook_attn_out"],
    ["blocks.1.ln2_post.hook_out", gemma, "blocks.1.hook_mlp_out"],
    ["blocks.1.mlp.hook_out", gemma, "blocks.1.mlp.hook_out"],
  ])("understands TransformerLens v3's %s", (alias, spec, name) => {
    expect(parseHook(alias, spec)).toEqual(parseHook(name, spec));
    expect(parseHook(alias, spec).name).toBe(name);
  });
  it.each<[string, ModelSpec, RegExp]>([
    ["blocks.1.mlp.gate.hook_out", gpt2, /no hook/],
    ["blocks.1.ln1_post.hook_out", llama, /no hook/],
    [
      "blocks.1.attn.hook_zz",
      llama,
      /no hook "blocks.1.attn.hook_zz"; near names: blocks.1.attn.hook_z,/,
    ],
    ["blocks.3.attn.hook_z", llama, /there is no layer 3; this model has layers 0 to 2/],
    ["hook_z", llama, /no hook "hook_z"/],
    ["blocks.0.hook_embed", llama, /near names: hook_embed/],
    ["hook_pos_embed", llama, /no learned positions/],
    ["blocks.0.attn.hook_rot_q", gpt2, /no rotary positions/],
    ["blocks.0.mlp.hook_pre_linear", gpt2, /not gated/],
    ["blocks.0.hook_attn_in", llama, /share keys and values; use hook_q_input/],
  ])("refuses %s", (name, spec, message) => {
    expect(() => parseHook(name, spec)).toThrow(
      expect.objectContaining({ code: "UNKNOWN_HOOK", message: expect.stringMatching(message) }),
    );
  });
});
