// A delta and the saved folder must be the same model, bit for bit.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Slice } from "@keyheads/native";
import { describe, expect, test } from "vitest";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { applyDelta, saveDelta } from "../../packages/keyheads/src/save/delta.ts";
import { addProduct, mergeDelta } from "../../packages/keyheads/src/save/merge.ts";
import { saveModel } from "../../packages/keyheads/src/save/save-model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { parseHeads, selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";
import { fixture, load, loadFolder, scratch, weightBits } from "../tuning/models.ts";

/** Changes the slices, and nothing else, as training would. */
async function change(model: Model, slices: readonly Slice[]): Promise<void> {
  using trainer = await model.createTrainer(slices);
  const state = await trainer.read();
  const random = rng(2);
  const values = state.values.map((part) => part.map((x: number) => x + random.next() - 0.5));
  await trainer.write({ ...state, values });
}

describe.each(["gpt2", "llama-gqa", "gpt_neox", "phi3", "mixtral"])("%s", (name) => {
  test("loaded with its delta, or merged, a model is the tuned one", async () => {
    const folder = await scratch();
    const model = await load(name);
    const select = { heads: parseHeads("0.1,1.3,1.0"), mlps: [1], matrices: ["embed"] };
    const slices = selectSlices(model, select);
    await change(model, slices);
    const delta = join(folder, "delta.safetensors");
    await saveDelta(model, delta, { slices });
    const saved = join(folder, "saved");
    await saveModel(model, saved, { slices });

    const reloaded = await loadFolder(saved);
    const withDelta = await load(name, { delta });
    expect(await weightBits(withDelta)).toEqual(await weightBits(reloaded));
    expect(withDelta.delta.slices).toHaveLength(slices.length);
    // Saved again without any slice of its own.
    const merged = join(folder, "merged");
    await saveModel(withDelta, merged, { slices: await mergeDelta(withDelta) });
    for (const file of await readdir(saved)) {
      expect((await readFile(join(merged, file))).equals(await readFile(join(saved, file)))).toBe(
        true,
      );
    }
  });
});

test("is small, and refused for another base, another family and no delta at all", async () => {
  const folder = await scratch();
  const model = await load("llama");
  const slices = selectSlices(model, { heads: parseHeads("1.2") });
  await change(model, slices);
  const delta = join(folder, "delta.safetensors");
  await saveDelta(model, delta, { slices });
  const numbers = 4 * model.spec.dHead * model.spec.dModel;
  expect((await stat(delta)).size).toBeLessThan(4 * numbers + 2000);

  await expect(load("gpt2", { delta })).rejects.toMatchObject({
    code: "BAD_CHECKPOINT",
    message: expect.stringContaining("was made from llama"),
  });
  const saved = join(folder, "saved");
  await saveModel(model, saved, { slices });
  await expect(loadFolder(saved, { delta })).rejects.toThrow("its weights differ where the delta");
  const weights = join(fixture("llama"), "model.safetensors");
  await expect(load("llama", { delta: weights })).rejects.toThrow("is no delta");
  await expect(saveDelta(model, delta, { slices: [] })).rejects.toMatchObject({ code: "USAGE" });
});

test("carries factors and offsets, and bakes them in where the model has a place for them", async () => {
  const folder = await scratch();
  const delta = join(folder, "delta.safetensors");
  const added = [
    { slot: "wq", layer: 1, rank: 2, scale: 0.5 },
    { slot: "zOffset", layer: 0 },
  ] as const;
  const read = (model: Model) =>
    model.forward({ sequences: [[1, 2, 3, 4]], readout: { rows: "all", logits: "all" } });
  for (const name of ["gpt2", "llama"]) {
    const model = await load(name, { dtype: "f64" });
    const { heads, dHead, dModel } = model.spec;
    for (const one of added) await model.addWeights(one);
    const addedSlices = [
      { slot: "wq.loraA", layer: 1, rows: [0, 2], columns: [0, dModel] },
      { slot: "wq.loraB", layer: 1, rows: [dHead, 2 * dHead], columns: [0, 2] },
      { slot: "zOffset", layer: 0, rows: [0, heads * dHead], columns: [0, 1] },
    ] as const;
    await change(model, addedSlices as unknown as Slice[]);
    await saveDelta(model, delta, { slices: [], added, addedSlices });
    const { logits } = await read(model);
    const loaded = await load(name, { dtype: "f64", delta });
    expect((await read(loaded)).logits).toEqual(logits);
    await expect(saveModel(loaded, join(folder, "x"), { slices: [] })).rejects.toThrow("bake them");
    if (name === "llama") {
      await expect(mergeDelta(loaded)).rejects.toThrow("have no bias of the attention's output");
      continue;
    }
    const slices = await mergeDelta(loaded);
    expect(slices.map(({ slot }) => slot)).toEqual(["wq", "bo"]);
    const merged = (await read(loaded)).logits ?? [];
    // Rounding of doubles. Measured 2e-15.
    merged.forEach((x, i) => {
      expect(Math.abs(x - (logits?.[i] as number))).toBeLessThan(1e-13);
    });
  }
  await expect(applyDelta(await load("gpt2"), "nowhere")).rejects.toThrow();
});

test("addProduct", () => {
  const w = Float64Array.from([1, 0, 0, 0, 1, 0]);
  addProduct(w, [1, 2, 0, 3], [1, 2, 3, 4, 5, 6], 2, 0.5);
  expect([...w]).toEqual([5.5, 6, 7.5, 6, 8.5, 9]);
});
