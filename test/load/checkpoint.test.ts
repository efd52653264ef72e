import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../packages/keyheads/src/load/checkpoint.ts";
import { readConfig } from "../../packages/keyheads/src/load/config.ts";
import { readJson } from "../../packages/keyheads/src/load/json.ts";
import type { TensorToWrite } from "../../packages/keyheads/src/load/write-safetensors.ts";
import { fixture, type Variant, Variants } from "./variants.ts";

const variants = new Variants();
afterAll(() => variants[Symbol.dispose]());
const variant = (
  model: string,
  tensors: NonNullable<Variant["tensors"]>,
  shards?: NonNullable<Variant["shards"]>,
) => variants.make(model, { tensors, ...(shards && { shards }) });

async function open(folder: string, changes: Record<string, unknown> = {}) {
  const config = { ...((await readJson(join(folder, "config.json"))) as object), ...changes };
  const { arch, spec, flags } = readConfig(config, "config.json");
  return await openCheckpoint(folder, arch, spec, flags);
}

const rename = (from: RegExp, to: string) => (tensors: TensorToWrite[]) =>
  tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace(from, to) }));
const zeros = (name: string, shape: number[], dtype: "F32" | "U8" = "F32"): TensorToWrite => ({
  name,
  dtype,
  shape,
  data: new Uint8Array(shape.reduce((n, d) => n * d, dtype === "U8" ? 1 : 4)),
});

describe("openCheckpoint", () => {
  it("maps GPT-2's fused, transposed tensors to slots", async () => {
    const { slots, ignored, copies } = await open(fixture("gpt2"));
    expect(slots).toHaveLength(4 + 3 * 16);
    expect(slots.find((s) => s.slot === "wk" && s.layer === 1)).toMatchObject({
      tensor: "transformer.h.1.attn.c_attn.weight",
      shape: [48, 144],
      transpose: true,
      start: 48,
      length: 48,
      dtype: "F32",
    });
    expect(slots.find((s) => s.slot === "bv" && s.layer === 0)).toMatchObject({
      shape: [144],
      start: 96,
      length: 48,
      transpose: false,
    });
    expect([ignored.length, copies.size]).toEqual([0, 0]);
  });
  it("maps LLaMA's, tied and not", async () => {
    expect((await open(fixture("llama"))).slots).toHaveLength(3 + 3 * 9);
    const { slots } = await open(fixture("llama-gqa"));
    expect(slots).toHaveLength(2 + 3 * 9);
    expect(slots.find((s) => s.slot === "wk")).toMatchObject({
      shape: [16, 64],
      start: 0,
      length: 16,
    });
  });
  it("takes published GPT-2 files: no prefix, attention buffers", async () => {
    const folder = await variant("gpt2", (tensors) => [
      ...rename(/^transformer\./, "")(tensors),
      zeros("h.0.attn.bias", [1, 1, 32, 32], "U8"),
      zeros("h.2.attn.masked_bias", []),
    ]);
    const { slots, ignored } = await open(folder);
    expect(slots[0]).toMatchObject({ slot: "embed", tensor: "wte.weight" });
    expect(ignored).toEqual(["h.0.attn.bias", "h.2.attn.masked_bias"]);
  });
  it("takes what older files of other families contain", async () => {
    const old = async (model: string, from: RegExp, to: string, more: TensorToWrite[]) =>
      await open(await variant(model, (tensors) => [...rename(from, to)(tensors), ...more]));
    const opt = await old("opt", /^model\./, "", []);
    expect(opt.slots[0]?.tensor).toBe("decoder.embed_tokens.weight");
    const gptj = await old("gptj", /^$/, "", [zeros("transformer.h.0.attn.masked_bias", [])]);
    expect(gptj.ignored).toEqual(["transformer.h.0.attn.masked_bias"]);
    const buffers = ["bias", "masked_bias", "rotary_emb.inv_freq"].map((name) =>
      zeros(`gpt_neox.layers.2.attention.${name}`, [1]),
    );
    expect((await old("gpt_neox", /^$/, "", buffers)).ignored).toHaveLength(3);
    const inverse = zeros("model.layers.0.self_attn.rotary_emb.inv_freq", [4]);
    expect((await old("mistral", /^$/, "", [inverse])).ignored).toHaveLength(1);
  });
  it("takes a tied output projection that was saved too, if it is the same", async () => {
    const add = (other: boolean) =>
      variant("gpt2", (tensors) => {
        const embed = tensors.find((t) => t.name.endsWith("wte.weight")) as TensorToWrite;
        const copy = { ...embed, name: "lm_head.weight" };
        return [...tensors, other ? zeros("lm_head.weight", [...embed.shape]) : copy];
      });
    const { copies } = await open(await add(false));
    expect([...copies]).toEqual([["lm_head.weight", "transformer.wte.weight"]]);
    await expect(open(await add(true))).rejects.toThrow(
      /lm_head.weight" differs from "transformer.wte/,
    );
    const untied = await open(await add(true), { tie_word_embeddings: false });
    expect(untied.slots.some((slot) => slot.slot === "unembed")).toBe(true);
  });
  it("reads shards", async () => {
    const folder = await variant(
      "llama",
      (t) => t,
      (name) => `part-${name.includes("mlp") ? 2 : 1}.safetensors`,
    );
    const { slots, files, index } = await open(folder);
    expect(files).toHaveLength(2);
    expect(index).toBe(join(folder, "model.safetensors.index.json"));
    expect(slots.find((s) => s.slot === "wUp")?.file).toContain("part-2");
  });
});

describe("openCheckpoint refuses", () => {
  const cases: [string, () => Promise<unknown>, RegExp][] = [
    ["a folder without weights", () => openNothing(), /has no weights: expected model.safetensors/],
    [
      "a missing tensor",
      async () =>
        open(await variant("llama", (t) => t.filter(({ name }) => !name.includes("1.mlp.up")))),
      /no tensor "model.layers.1.mlp.up_proj.weight" \(wUp of layer 1\)/,
    ],
    [
      "an unused tensor",
      async () =>
        open(await variant("llama", (t) => [...t, zeros("model.layers.0.self_attn.q_norm", [12])])),
      /nothing uses "model.layers.0.self_attn.q_norm" \[12\]/,
    ],
    [
      "layers that the config does not have",
      async () => open(await variant("llama", (t) => t), { num_hidden_layers: 2 }),
      /nothing uses "model.layers.2.* and 4 more; a llama model of 2 layers/,
    ],
    [
      "a wrong shape",
      async () => open(await variant("llama", (t) => t), { intermediate_size: 80 }),
      /mlp.gate_proj.weight" has shape \[76, 48\], expected \[80, 48\]/,
    ],
    [
      "a wrong dtype",
      async () =>
        open(
          await variant("llama", (t) =>
            t.map((x) => (x.name === "model.norm.weight" ? zeros(x.name, [48], "U8") : x)),
          ),
        ),
      /"model.norm.weight" has dtype U8, expected F32/,
    ],
    [
      "an untied model without output projection",
      async () => open(fixture("gpt2"), { tie_word_embeddings: false }),
      /no tensor "transformer.lm_head.weight" or "lm_head.weight" \(unembed\)/,
    ],
    [
      "an index that lies",
      async () => {
        const folder = await variant(
          "llama",
          (t) => t,
          () => "a.safetensors",
        );
        const map = {
          weight_map: { "model.norm.weight": "a.safetensors", "x.y": "a.safetensors" },
        };
        writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(map));
        return await open(folder);
      },
      /"x.y" is in a.safetensors; it is in no shard/,
    ],
    [
      "a shard outside the folder",
      async () => {
        const folder = await variant(
          "llama",
          (t) => t,
          () => "a.safetensors",
        );
        const map = { weight_map: { "model.norm.weight": "../a.safetensors" } };
        writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(map));
        return await open(folder);
      },
      /outside the folder/,
    ],
    [
      "a folder as a shard",
      async () => {
        const folder = await variant(
          "llama",
          (t) => t,
          () => "a.safetensors",
        );
        const map = { weight_map: { "model.norm.weight": "." } };
        writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(map));
        return await open(folder);
      },
      /is not a file; put the safetensors file there/,
    ],
  ];
  async function openNothing() {
    const { arch, spec, flags } = readConfig(
      (await readJson(join(fixture("llama"), "config.json"))) as Record<string, unknown>,
      "config.json",
    );
    return await openCheckpoint(variants.folder, arch, spec, flags);
  }

  it.each(cases)("%s", async (_, run, message) => {
    await expect(run()).rejects.toThrow(
      expect.objectContaining({ code: "BAD_CHECKPOINT", message: expect.stringMatching(message) }),
    );
  });
});
