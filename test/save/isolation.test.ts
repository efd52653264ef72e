import { describe, expect, test } from "vitest";
import {
  changedPieces,
  compareHashes,
  hashWeights,
  unselectedDigest,
} from "../../packages/keyheads/src/save/isolation.ts";
import { piecesOf, runsOf } from "../../packages/keyheads/src/save/pieces.ts";
import { parseHeads, selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";
import { load } from "../tuning/models.ts";

describe("hashes of weights", () => {
  test("cover every number once", async () => {
    const model = await load("llama-gqa");
    const slices = selectSlices(model, { heads: parseHeads("0.1,2.7"), mlps: [1] });
    let covered = 0;
    let selected = 0;
    for (const slot of model.files.slots) {
      for (const piece of piecesOf(slot, model.spec)) {
        for (const run of runsOf(piece, slices)) {
          covered += run.stop - run.start;
          if (run.selected) selected += run.stop - run.start;
        }
      }
    }
    expect(covered).toBe(model.parameterCount);
    const { dHead, dModel, dMlp } = model.spec;
    expect(selected).toBe(2 * 2 * dHead * dModel + 3 * dMlp * dModel);
  });

  test("a single changed number is found, and named, in the selection or outside", async () => {
    const model = await load("gpt2");
    const slices = selectSlices(model, { heads: parseHeads("1.2") });
    const before = await hashWeights(model, slices);
    expect(compareHashes(before, await hashWeights(model, slices))).toEqual({
      checked: before.length,
      changedTensors: [],
      unselectedChanged: 0,
      unselectedHash: { before: unselectedDigest(before), after: unselectedDigest(before) },
      tensors: expect.any(Array),
    });

    const { dHead, dModel } = model.spec;
    const change = async (column: number) => {
      const wo = await model.readWeight({ slot: "wo", layer: 1 });
      const at = 5 * dModel + column;
      wo[at] = (wo[at] as number) + 1e-6;
      await model.writeWeight({ slot: "wo", layer: 1 }, wo);
      return await hashWeights(model, slices);
    };
    const inside = await change(2 * dHead);
    expect(compareHashes(before, inside)).toMatchObject({
      changedTensors: ["transformer.h.1.attn.c_proj.weight"],
      unselectedChanged: 0,
    });
    expect(unselectedDigest(inside)).toBe(unselectedDigest(before));
    const output = "transformer.h.1.attn.c_proj.weight";
    const ofOutput = (hashes: typeof before) =>
      compareHashes(before, hashes).tensors?.find(({ tensor }) => tensor === output);
    expect(ofOutput(inside)).toMatchObject({
      unselected: model.spec.heads - 1,
      trained: ["wo 1.2"],
    });
    expect(ofOutput(inside)?.before).toBe(ofOutput(inside)?.after);
    const outside = await change(2 * dHead - 1);
    expect(compareHashes(before, outside).unselectedChanged).toBe(1);
    expect(ofOutput(outside)?.before).not.toBe(ofOutput(outside)?.after);
    const others = compareHashes(before, outside).tensors?.filter(
      ({ tensor }) => tensor !== output,
    );
    expect(others?.every(({ before: was, after }) => was !== null && was === after)).toBe(true);
    expect(changedPieces(inside, outside)).toMatchObject([{ name: "wo 1.1", selected: false }]);
    expect(unselectedDigest(outside)).not.toBe(unselectedDigest(before));
  });

  test("a piece that is selected in part is hashed in two parts", async () => {
    const model = await load("llama");
    const part = { slot: "wUp", layer: 0, rows: [3, 5], columns: [2, 7] } as const;
    const hashes = await hashWeights(model, [part]);
    const up = hashes.filter(({ name }) => name === "wUp 0");
    expect(up.map(({ selected }) => selected)).toEqual([false, true]);
    const weight = await model.readWeight(part);
    weight[3 * model.spec.dModel + 2] = 9;
    await model.writeWeight(part, weight);
    const changed = changedPieces(hashes, await hashWeights(model, [part]));
    expect(changed).toMatchObject([{ name: "wUp 0", selected: true }]);
  });
});
