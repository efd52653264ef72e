// An item's numbers do not depend on its batch, its order or the number of threads, bit for bit;
// weight gradients depend on the order only.
import { loadBinding } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";
import { familyNames, fixtureNames, ids, loadFixture } from "./fixtures.ts";
import { choiceNames } from "./random-models.ts";

describe.each(familyNames)("attention of %s", (name) => {
  it("has the same bits whether or not anybody looks at scores and patterns", async () => {
    using model = await loadFixture(name);
    const sequences = [7, 1, 16, 3, 21].map((n, i) => ids(n, model.spec.vocab, i + 3));
    const layers = Array.from({ length: model.spec.layers }, (_, layer) => layer);
    const read = async (look: readonly string[]) => {
      const { captures, logits } = await model.forward({
        sequences,
        captures: [...layers.map(hooks.z), ...look].map((hook) => ({ hook })),
        readout: { rows: "all", logits: "all" },
      });
      return [...captures.slice(0, layers.length), logits];
    };
    const fused = await read([]);
    for (const look of [hooks.pattern, hooks.attn_scores]) {
      expect(await read(layers.map(look))).toEqual(fused);
    }
  });
});

describe.each([...fixtureNames, ...choiceNames])("bits of %s", (name) => {
  let model: Model;
  let sequences: number[][];
  const captures = [
    { hook: "blocks.1.attn.hook_z" },
    { hook: "blocks.2.mlp.hook_out" },
    { hook: "blocks.2.hook_resid_post" },
  ];
  const objective = (rows: number[]) => ({
    kind: "cross-entropy" as const,
    rows: Int32Array.from(rows),
    targets: Int32Array.from(rows, (r) => r % 40),
    weights: Float32Array.from(rows, () => 0.5),
  });

  beforeAll(async () => {
    model = await loadFixture(name);
    sequences = [7, 1, 16, 3, 31, 17, 2].map((n, i) => ids(n, model.spec.vocab, i + 3));
  });
  afterAll(() => {
    loadBinding().setThreads(0);
    model.dispose();
  });

  const run = async (batch: number[][]) => {
    const out = await model.forward({
      sequences: batch,
      captures,
      readout: { rows: "all", logits: "all" },
    });
    const ends = [...out.offsets.subarray(1)].map((o) => o - 1);
    const { gradients } = await model.backward({
      sequences: batch,
      objective: { ...objective(ends), targets: Int32Array.from(ends, () => 5) },
      gradients: [{ hook: "blocks.0.hook_resid_pre" }],
    });
    return { arrays: [...out.captures, out.logits as Float32Array, ...gradients], out };
  };
  // The part of every array that belongs to item i, as bits.
  const itemBits = ({ arrays, out }: Awaited<ReturnType<typeof run>>, i: number) => {
    const rows = out.offsets[out.offsets.length - 1] as number;
    return arrays.map((array) => {
      const width = array.length / rows;
      const part = array.slice(
        (out.offsets[i] as number) * width,
        (out.offsets[i + 1] as number) * width,
      );
      return Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString("base64");
    });
  };

  it("are the same alone, in a batch, in any order and for any number of threads", async () => {
    loadBinding().setThreads(1);
    const together = await run(sequences);
    for (const threads of [1, 2]) {
      loadBinding().setThreads(threads);
      const order = sequences.map((_, i) => (i * 3 + threads) % sequences.length);
      const shuffled = await run(order.map((i) => sequences[i] as number[]));
      for (const [at, i] of order.entries()) {
        expect(itemBits(shuffled, at), `item ${i}, ${threads} threads`).toEqual(
          itemBits(together, i),
        );
        const alone = await run([sequences[i] as number[]]);
        expect(itemBits(alone, 0), `item ${i} alone`).toEqual(itemBits(together, i));
      }
    }
  });

  it("of weight gradients do not depend on the number of threads", async () => {
    const slices = selectSlices(model, { everything: true });
    const states = [];
    for (const threads of [1, 2]) {
      loadBinding().setThreads(threads);
      using trainer = await model.createTrainer(slices);
      const rows = [3, 6, 10, 20, 40, 60];
      await trainer.accumulate({ sequences, objective: objective(rows) });
      states.push((await trainer.read()).gradients);
    }
    expect(states[0]).toEqual(states[1]);
    expect(states[0]?.some((g) => g.some((x) => x !== 0))).toBe(true);
  });
});
