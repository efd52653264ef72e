// The same fixtures stored or configured another way: they must compute what they say.
import type { FloatArray } from "@keyheads/native";
import { afterAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { TensorToWrite } from "../../packages/keyheads/src/load/write-safetensors.ts";
import { type HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { fixture, floats, Variants } from "../load/variants.ts";

const variants = new Variants();
afterAll(() => variants[Symbol.dispose]());
const sequences = [
  [5, 9, 2, 30, 17],
  [7, 1],
];

async function logits(
  folder: string,
  dtype: "f32" | "f64" = "f64",
  edits: readonly HookEdit[] = [],
) {
  using model = await Model.load(folder, { dtype });
  const run = await model.forward({ sequences, edits, readout: { rows: "all", logits: "all" } });
  return run.logits as FloatArray;
}
function expectClose(found: FloatArray, expected: FloatArray, tolerance: number) {
  expect(found).toHaveLength(expected.length);
  const worst = found.reduce(
    (max: number, x, i) => Math.max(max, Math.abs(x - (expected[i] ?? 0))),
    0,
  );
  expect(worst).toBeLessThan(tolerance);
}

describe("storage", () => {
  it("in shards, or without GPT-2's prefix, gives the same bits", async () => {
    const sharded = await variants.make("llama", {
      shards: (name) => `${name.includes("mlp") ? 2 : 1}.safetensors`,
    });
    expect(await logits(sharded, "f32")).toEqual(await logits(fixture("llama"), "f32"));
    const bare = await variants.make("gpt2", {
      tensors: (all) => all.map((t) => ({ ...t, name: t.name.replace("transformer.", "") })),
    });
    expect(await logits(bare, "f32")).toEqual(await logits(fixture("gpt2"), "f32"));
  });
  it.each(["BF16", "F16", "F64"] as const)(
    "in %s is read as the numbers it holds",
    async (dtype) => {
      const convert = (tensor: TensorToWrite): TensorToWrite => {
        const bytes = tensor.data as Uint8Array;
        const bits = new Uint32Array(bytes.slice().buffer);
        const values = new Float32Array(bits.buffer);
        if (dtype === "F64")
          return { ...tensor, dtype, data: new Uint8Array(Float64Array.from(values).buffer) };
        // Powers of two have the same short form in every type, so the expected value is known.
        const signs = values.map((x) => (x < 0 ? -0.25 : 0.25));
        const half = Uint16Array.from(
          signs,
          (x) => (dtype === "BF16" ? 0x3e80 : 0x3400) | (x < 0 ? 0x8000 : 0),
        );
        return { ...tensor, dtype, data: new Uint8Array(half.buffer) };
      };
      const folder = await variants.make("gpt2", { tensors: (all) => all.map(convert) });
      using original = await Model.load(fixture("gpt2"));
      using model = await Model.load(folder);
      for (const slot of [
        { slot: "wk", layer: 2 },
        { slot: "wDown", layer: 0 },
        { slot: "bv", layer: 1 },
      ] as const) {
        const before = await original.readWeight(slot);
        const expected = dtype === "F64" ? before : before.map((x) => (x < 0 ? -0.25 : 0.25));
        expect(await model.readWeight(slot)).toEqual(expected);
      }
      if (dtype === "F64")
        expect(await logits(folder, "f32")).toEqual(await logits(fixture("gpt2"), "f32"));
    },
  );
});

describe("settings", () => {
  it("biases of attention and MLP are what adding them at the hooks gives", async () => {
    const random = rng(11);
    const noise = (n: number) => Array.from({ length: n }, () => Math.fround(random.next() - 0.5));
    const edits: HookEdit[] = [];
    const added: TensorToWrite[] = [];
    const bias = (name: string, size: number, hook: string, layer: number) => {
      const values = noise(size);
      added.push(floats(`model.layers.${layer}.${name}.bias`, [size], values));
      edits.push({ hook, op: "add", value: Float64Array.from(values) });
    };
    for (let layer = 0; layer < 3; ++layer) {
      bias("self_attn.q_proj", 64, hooks.q(layer), layer);
      bias("self_attn.k_proj", 16, hooks.k(layer), layer);
      bias("self_attn.v_proj", 16, hooks.v(layer), layer);
      bias("self_attn.o_proj", 64, hooks.attn_out_raw(layer), layer);
      bias("mlp.gate_proj", 46, hooks.mlp_pre(layer), layer);
      bias("mlp.up_proj", 46, hooks.mlp_pre_linear(layer), layer);
      bias("mlp.down_proj", 64, hooks.mlp_out_raw(layer), layer);
    }
    const folder = await variants.make("llama-gqa", {
      tensors: (all) => [...all, ...added],
      config: { attention_bias: true, mlp_bias: true },
    });
    const expected = await logits(fixture("llama-gqa"), "f64", edits);
    expectClose(await logits(folder), expected, 1e-11);
    expect(
      Math.abs((expected[0] ?? 0) - ((await logits(fixture("llama-gqa")))[0] ?? 0)),
    ).toBeGreaterThan(1e-3);
  });
  it("unscaled scores are the scaled ones of larger queries", async () => {
    const folder = await variants.make("gpt2", { config: { scale_attn_weights: false } });
    const edits = [0, 1, 2].map(
      (layer) => ({ hook: hooks.q(layer), op: "scale", factor: Math.sqrt(12) }) as const,
    );
    expectClose(await logits(folder), await logits(fixture("gpt2"), "f64", edits), 1e-11);
  });
  it("an untied copy of the embedding is the tied model", async () => {
    const tensors = (all: TensorToWrite[]) => {
      const embed = all.find(({ name }) => name === "model.embed_tokens.weight") as TensorToWrite;
      return [...all, { ...embed, name: "lm_head.weight" }];
    };
    const tied = await variants.make("llama-gqa", { tensors });
    const untied = await variants.make("llama-gqa", {
      tensors,
      config: { tie_word_embeddings: false },
    });
    const expected = await logits(fixture("llama-gqa"), "f32");
    expect(await logits(tied, "f32")).toEqual(expected);
    expect(await logits(untied, "f32")).toEqual(expected);
  });
  it.each([
    ["relu", (x: number) => Math.max(0, x)],
    [
      "gelu_new",
      (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    ],
    ["silu", (x: number) => x / (1 + Math.exp(-x))],
  ] as const)("activation %s is its formula", async (name, formula) => {
    const folder = await variants.make("gpt2", { config: { activation_function: name } });
    using model = await Model.load(folder, { dtype: "f64" });
    const { captures } = await model.forward({
      sequences,
      captures: [{ hook: hooks.mlp_pre(1) }, { hook: hooks.mlp_post(1) }],
    });
    const [pre, post] = captures as [Float64Array, Float64Array];
    expectClose(post, pre.map(formula), 1e-12);
  });
});
