// What each family says about its models, and what it refuses.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../packages/keyheads/src/load/checkpoint.ts";
import { readConfig } from "../../packages/keyheads/src/load/config.ts";
import { storedIndex } from "../../packages/keyheads/src/save/stored.ts";

const folder = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const config = (name: string, file = "config.json"): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder(name), file), "utf8"));
const read = (name: string, changes: Record<string, unknown> = {}, file?: string) =>
  readConfig({ ...config(name, file), ...changes }, "config.json").spec;
const without = (name: string, file: string, ...keys: string[]) =>
  readConfig(
    Object.fromEntries(Object.entries(config(name, file)).filter(([key]) => !keys.includes(key))),
    "config.json",
  ).spec;
const v4 = "config_v4.json";

describe("a family says", () => {
  it.each<[string, object]>([
    [
      "mistral",
      {
        windows: Int32Array.of(6, 6, 6, 6),
        attentionScales: new Float64Array(4).fill(1 / Math.sqrt(8)),
      },
    ],
    ["qwen2", { windows: new Int32Array(3), qkNorm: "none" }],
    ["qwen3", { windows: Int32Array.of(0, 5, 5), qkNorm: "head", dHead: 14, tied: true }],
    [
      "gemma2",
      {
        normPlacement: "both",
        normPlusOne: true,
        windows: Int32Array.of(5, 0, 5, 0),
        scoreCap: 3,
        logitCap: 2.5,
        embedScale: 6,
        attentionScales: new Float64Array(4).fill(1 / Math.sqrt(7)),
        activation: "gelu_new",
        tied: true,
      },
    ],
    ["phi3", { windows: Int32Array.of(6, 6, 6), context: 32 }],
    ["olmo2", { normPlacement: "post", qkNorm: "width" }],
    ["gptj", { block: "parallel", sharedNorm: true, rotaryPairs: "adjacent" }],
    ["gpt_neox", { block: "parallel", sharedNorm: false, norm: "layer" }],
    ["opt", { position: "learned", positionOffset: 2, activation: "relu", tied: true }],
    ["starcoder2", { windows: Int32Array.of(6, 6, 6), gated: false, norm: "layer" }],
    ["stablelm", { block: "sequential", sharedNorm: false, qkNorm: "none" }],
    ["stablelm-parallel", { block: "parallel", sharedNorm: true, qkNorm: "heads" }],
    ["mixtral", { experts: 4, expertsPerToken: 2 }],
  ])("%s", (name, facts) => {
    expect(read(name)).toMatchObject(facts);
    expect(read(name, {}, v4)).toMatchObject(facts);
  });

  it("what an absent key means, and null another thing", () => {
    expect(read("mistral", { sliding_window: null }).windows).toEqual(new Int32Array(4));
    expect(without("mistral", v4, "sliding_window").windows[0]).toBe(4096);
    expect(read("mistral", { num_key_value_heads: null }).kvHeads).toBe(6);
    expect(() => without("mistral", v4, "num_key_value_heads")).toThrow(
      /6 query heads cannot share 8/,
    );
    expect(without("phi3", v4, "num_key_value_heads").kvHeads).toBe(4);
    // transformers rounds down; LLaMA's configuration demands that the heads divide the width.
    for (const family of ["mistral", "mixtral", "qwen2", "phi3", "phi", "starcoder2", "olmo2"]) {
      const { heads, dHead } = read(family);
      const width = heads * dHead + heads - 1;
      const uneven = read(family, { hidden_size: width, head_dim: null });
      expect(uneven, family).toMatchObject({ dModel: width, dHead });
    }
    const { num_attention_heads: heads } = config("llama");
    expect(() =>
      read("llama", { hidden_size: 12 * (heads as number) + 1, head_dim: null }),
    ).toThrow(/hidden_size \d+ is not a multiple of num_attention_heads/);
    expect(without("starcoder2", v4, "sliding_window").windows).toEqual(new Int32Array(3));
    const uncapped = { attn_logit_softcapping: null, final_logit_softcapping: null };
    expect(read("gemma2", uncapped)).toMatchObject({ scoreCap: 0, logitCap: 0 });
    expect(without("gemma2", v4, ...Object.keys(uncapped))).toMatchObject({
      scoreCap: 50,
      logitCap: 30,
    });
    expect(without("qwen3", v4, "head_dim").dHead).toBe(128);
    // A quarter of 12 dimensions: an odd number makes one more pair.
    expect(without("gpt_neox", v4, "rotary_pct").inverseFrequencies).toEqual(
      Float64Array.of(1, 10000 ** (-2 / 3)),
    );
    // transformers cannot run these two with an odd number.
    for (const family of ["phi", "stablelm"]) {
      const rope = { ...(config(family).rope_parameters as object), partial_rotary_factor: 0.26 };
      expect(() => read(family, { rope_parameters: rope, hidden_size: 48 })).toThrow(
        /partial_rotary_factor 0.26 rotates 3 of the 12 dimensions of a head/,
      );
    }
  });
  it("which layers have a window: by rule, unless layer_types says it", () => {
    const layerTypes = ["sliding_attention", "full_attention", "full_attention"];
    expect(read("qwen3", { layer_types: layerTypes }).windows).toEqual(Int32Array.of(5, 0, 0));
    expect(read("qwen3", { max_window_layers: 2 }, v4).windows).toEqual(Int32Array.of(0, 0, 5));
    const off = { use_sliding_window: false };
    expect(read("qwen3", off, v4).windows).toEqual(new Int32Array(3));
    expect(() => read("qwen3", off)).toThrow(
      /layer_types gives layer 1 a sliding window, but sliding_window is switched off/,
    );
  });
  it("that a rotated share in rope_parameters wins over a default in the old place", () => {
    expect(config("stablelm").partial_rotary_factor).toBe(0.25);
    expect(read("stablelm").inverseFrequencies).toHaveLength(3);
  });
});

describe("rotary scalings", () => {
  it("dynamic: as without it up to the model's context, beyond which it would change", () => {
    const rope = (settings: object) =>
      read("llama", {
        rope_parameters: { ...(config("llama").rope_parameters as object), ...settings },
      });
    const plain = rope({ rope_type: "default" });
    const dynamic = { rope_type: "dynamic", factor: 4, original_max_position_embeddings: 8 };
    expect(rope(dynamic)).toEqual(plain);
    expect(() => rope({ rope_type: "dynamic" })).toThrow(/rope setting factor is missing/);
  });
  const yarn = (settings: object) =>
    read("llama-bias", {
      rope_parameters: { ...(config("llama-bias").rope_parameters as object), ...settings },
    });
  it("yarn keeps fast dimensions, divides slow ones, and scales attention", () => {
    const plain = (i: number) => 10000 ** (-i / 7);
    const { inverseFrequencies: f, rotaryScale } = yarn({});
    expect(f[0]).toBe(1);
    expect(f[6]).toBeCloseTo(plain(6) / 8, 12);
    expect(rotaryScale).toBeCloseTo(0.1 * Math.log(8) + 1, 12);
    expect(yarn({ attention_factor: 1.5 }).rotaryScale).toBe(1.5);
    expect(yarn({ mscale: 2, mscale_all_dim: 1 }).rotaryScale).toBeCloseTo(
      (0.2 * Math.log(8) + 1) / (0.1 * Math.log(8) + 1),
      12,
    );
    const long = { original_max_position_embeddings: 4096 };
    expect(yarn({ ...long, truncate: false }).inverseFrequencies).not.toEqual(
      yarn(long).inverseFrequencies,
    );
  });
  it("longrope ends the context at the trained length, where its frequencies would change", () => {
    const { inverseFrequencies, rotaryScale, context } = read("phi3");
    expect(context).toBe(32);
    expect(rotaryScale).toBeCloseTo(Math.sqrt(1 + Math.log(8) / Math.log(32)), 12);
    expect(inverseFrequencies[2]).toBeCloseTo(10000 ** (-2 / 3) / 2.1, 12);
    const scaling = { ...(config("phi3", v4).rope_scaling as object), type: "su" };
    expect(read("phi3", { rope_scaling: scaling }, v4)).toEqual(read("phi3"));
  });
});

describe("a family refuses", () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      "opt",
      { do_layer_norm_before: false },
      /do_layer_norm_before is false.*supported: true: norms of the residual stream/,
    ],
    [
      "opt",
      { word_embed_proj_dim: 18 },
      /word_embed_proj_dim is 18.*supported: 36 \(hidden_size\): projections around/,
    ],
    ["opt", { layer_norm_elementwise_affine: false }, /layer_norm_elementwise_affine is false/],
    ["starcoder2", { norm_type: "rms_norm" }, /norm_type is "rms_norm".*supported: "layer_norm"/],
    ["gemma2", { use_bidirectional_attention: true }, /use_bidirectional_attention is true/],
    ["gptj", { rotary_dim: null }, /rotary_dim is null, expected a number/],
    ["gptj", { rotary_dim: 12 }, /rotary_dim is 12, but a head has 10 dimensions/],
    [
      "phi",
      { qk_layernorm: true },
      /qk_layernorm is true.*supported: false: its norms of queries and keys have a bias/,
    ],
    ["gpt2", { head_dim: 7 }, /does not know whether head_dim = 7/],
    ["gptj", { rope_theta: 5 }, /does not know whether rope_theta = 5/],
    [
      "phi3",
      { partial_rotary_factor: 0.01, rope_parameters: null },
      /cannot rotate 0 of the 10 dimensions of a head; partial_rotary_factor is 0.01, and .*head_dim/,
    ],
    [
      "phi3",
      { rope_parameters: { rope_type: "linear", factor: 2 } },
      /rope type "linear" is not supported; supported: default, longrope, su, yarn/,
    ],
    [
      "phi3",
      { rope_parameters: { rope_type: "longrope", short_factor: [1], long_factor: [1] } },
      /short_factor is \[1\], expected 5 positive numbers/,
    ],
    ["mistral", { sliding_window: 0 }, /sliding_window is 0, expected 1 or more keys/],
    ["mistral", { layer_types: ["full_attention"] }, /does not know whether layer_types/],
    ["qwen3", { layer_types: ["chunked"] }, /layer_types is \["chunked"\], expected one of full/],
    ["mixtral", { num_experts_per_tok: 5 }, /each token cannot use 5 of 4 experts/],
    ["mixtral", { output_router_logits: true }, /output_router_logits is true/],
    ["gpt_neox", { rotary_pct: 0.25, partial_rotary_factor: 0.5, rope_parameters: null }, /0.25/],
    ["gemma2", { query_pre_attn_scalar: 0 }, /query_pre_attn_scalar is 0, expected a positive/],
  ])("%s: %j", (name, changes, message) => {
    expect(() => read(name, changes)).toThrow(
      expect.objectContaining({ code: "BAD_CHECKPOINT", message: expect.stringMatching(message) }),
    );
  });
});

describe("tensors that share a slot or a slot that shares tensors", () => {
  const open = async (name: string) => {
    const { arch, spec, flags } = readConfig(config(name), "config.json");
    return (await openCheckpoint(folder(name), arch, spec, flags)).slots;
  };
  const find = (slots: Awaited<ReturnType<typeof open>>, slot: string) =>
    slots.filter((source) => source.slot === slot && source.layer === 1);

  it("phi3: q, k and v of different size, one after the other", async () => {
    const slots = await open("phi3");
    const layout = ["wq", "wk", "wv", "wGate", "wUp"].map((slot) => find(slots, slot)[0]);
    expect(layout.map((source) => [source?.start, source?.length])).toEqual(
      [[0, 40], [40, 20], [60, 20], [0, 54], [54, 54]], // biome-ignore format: a table
    );
  });
  it("gpt_neox: q, k and v head by head", async () => {
    const [wk] = find(await open("gpt_neox"), "wk");
    expect(wk).toMatchObject({ start: 12, length: 12, stride: 36, shape: [144, 48] });
    if (wk)
      expect([0, 11, 12, 47].map((row) => storedIndex(wk, row, 0) / 48)).toEqual(
        [12, 23, 48, 131], // biome-ignore format: rows of heads 0, 0, 1, 3
      );
  });
  it("stablelm: one norm a head, each some rows of the slot", async () => {
    const parts = find(await open("stablelm-parallel"), "kNorm");
    expect(parts.map(({ tensor, rows }) => [tensor, rows])).toEqual([
      ["model.layers.1.self_attn.k_layernorm.norms.0.weight", [0, 12]],
      ["model.layers.1.self_attn.k_layernorm.norms.1.weight", [12, 24]],
    ]);
  });
  it("mixtral: one matrix an expert", async () => {
    const parts = find(await open("mixtral"), "wDown");
    expect(parts.map(({ expert, tensor }) => [expert, tensor])).toEqual(
      [0, 1, 2, 3].map((j) => [j, `model.layers.1.block_sparse_moe.experts.${j}.w2.weight`]),
    );
  });
  it("gptj: a bias of the output projection", async () => {
    const bias = (await open("gptj")).filter(({ slot }) => slot === "unembedBias");
    expect(bias).toMatchObject([{ tensor: "lm_head.bias", shape: [97] }]);
  });
});
