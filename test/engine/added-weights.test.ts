// Weights that are added to a model (low-rank factors, offsets of z), and the two ways of a training
// run that must not change a bit: starting behind the layers below, and computing blocks again.
import type { AddedSlice, MatrixSlot, Slice } from "@keyheads/native";
import { describe, expect, test } from "vitest";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { allSlices } from "../../packages/keyheads/src/tuning/slots.ts";
import { load, weightBits } from "../tuning/models.ts";

const families = ["gpt2", "llama-gqa", "gpt_neox", "gemma2", "mixtral"];
const sequences = [
  [3, 1, 4, 1, 5],
  [9, 2],
  [6, 5, 3, 5, 8, 9, 7],
];
const rows = Int32Array.from([3, 4, 6, 12, 13]);
const objective = {
  kind: "cross-entropy",
  rows,
  targets: Int32Array.from([7, 11, 2, 30, 4]),
  weights: Float64Array.from([0.3, 0.1, 0.2, 0.25, 0.15]),
} as const;

async function loss(model: Model): Promise<number> {
  const { objective: value } = await model.backward({ sequences, objective, gradients: [] });
  return value;
}

const whole = (slot: AddedSlice["slot"], layer: number, out: number, into: number): AddedSlice => ({
  slot,
  layer,
  rows: [0, out],
  columns: [0, into],
});

/** Factors of every matrix of layer 1 (expert 0 in a mixture), and an offset, all with random values. */
async function addAll(model: Model, rank: number, scale: number): Promise<AddedSlice[]> {
  const random = rng(5);
  const slices: AddedSlice[] = [];
  const matrices = allSlices(model).filter(
    ({ slot, layer, expert = 0 }) => layer === 1 && slot.startsWith("w") && expert === 0,
  );
  for (const {
    slot,
    expert,
    rows: [, out],
    columns: [, into],
  } of matrices) {
    const of = { layer: 1, ...(expert !== undefined && { expert }) };
    await model.addWeights({ ...of, slot: slot as MatrixSlot, rank, scale });
    slices.push(
      { ...whole(`${slot as MatrixSlot}.loraA`, 1, rank, into), ...of },
      { ...whole(`${slot as MatrixSlot}.loraB`, 1, out, rank), ...of },
    );
  }
  await model.addWeights({ slot: "zOffset", layer: 0 });
  slices.push(whole("zOffset", 0, model.spec.heads * model.spec.dHead, 1));
  for (const slice of slices) {
    const values = Float64Array.from(
      { length: slice.rows[1] * slice.columns[1] },
      () => 0.2 * (random.next() - 0.5),
    );
    await model.writeWeight(slice, values);
  }
  return slices;
}

describe.each(families)("%s", (name) => {
  test("factors act as W + scale B A", async () => {
    const [rank, scale] = [3, 0.7];
    const model = await load(name, { dtype: "f64" });
    const slices = await addAll(model, rank, scale);
    const offset = slices.pop() as AddedSlice;
    await model.writeWeight(offset, new Float64Array(offset.rows[1]));
    const merged = await load(name, { dtype: "f64" });
    for (let i = 0; i < slices.length; i += 2) {
      const [a, b] = [slices[i] as AddedSlice, slices[i + 1] as AddedSlice];
      const slot = { ...a, slot: a.slot.split(".")[0] as MatrixSlot };
      const [w, av, bv] = [
        await merged.readWeight(slot),
        await model.readWeight(a),
        await model.readWeight(b),
      ];
      const into = a.columns[1];
      for (let n = 0; n < b.rows[1]; ++n) {
        for (let k = 0; k < into; ++k) {
          let sum = 0;
          for (let r = 0; r < rank; ++r) {
            sum += (bv[n * rank + r] as number) * (av[r * into + k] as number);
          }
          w[n * into + k] = (w[n * into + k] as number) + scale * sum;
        }
      }
      await merged.writeWeight(slot, w);
    }
    const readout = { rows: "all", logits: "all" } as const;
    const { logits = [] } = await model.forward({ sequences, readout });
    const { logits: expected = [] } = await merged.forward({ sequences, readout });
    const { logits: base = [] } = await (await load(name, { dtype: "f64" })).forward({
      sequences,
      readout,
    });
    const distance = (to: ArrayLike<number>) =>
      logits.reduce((most, x, i) => Math.max(most, Math.abs(x - (to[i] as number))), 0);
    expect(distance(base)).toBeGreaterThan(1e-3);
    // Rounding of doubles; logits are of the order of 1. Measured at most 4e-15.
    expect(distance(expected)).toBeLessThan(1e-13);
  });

  test("their gradients are those of finite differences", async () => {
    const model = await load(name, { dtype: "f64" });
    const slices = await addAll(model, 2, 0.7);
    using trainer = await model.createTrainer(slices);
    await trainer.accumulate({ sequences, objective });
    const { gradients } = await trainer.read();
    const random = rng(8);
    for (const [i, slice] of slices.entries()) {
      const values = await model.readWeight(slice);
      const direction = values.map(() => random.next() - 0.5);
      const at = async (step: number) => {
        await model.writeWeight(
          slice,
          values.map((x: number, j: number) => x + step * (direction[j] as number)),
        );
        return await loss(model);
      };
      const step = 1e-5;
      const slope = ((await at(step)) - (await at(-step))) / (2 * step);
      await at(0);
      const expected = (gradients[i] ?? []).reduce(
        (sum, g, j) => sum + g * (direction[j] as number),
        0,
      );
      expect(Math.abs(expected), slice.slot).toBeGreaterThan(1e-7);
      // Cancellation leaves about 1e-16 / 1e-5 of the loss.
      expect(Math.abs(slope - expected), slice.slot).toBeLessThan(2e-9 + 1e-6 * Math.abs(slope));
    }
  });

  test("a run from the residual above the layers below, or with blocks computed again: same bits", async () => {
    const model = await load(name);
    const slices: Slice[] = allSlices(model).filter(({ layer }) => layer >= 1);
    const { residual } = await model.forward({ sequences, stopAtLayer: 1 });
    if (residual === undefined) throw new Error("no residual");
    const start = { layer: 1, residual };
    const results: unknown[] = [];
    for (const how of [{}, { start }, { recompute: true }, { start, recompute: true }]) {
      using trainer = await model.createTrainer(slices);
      const { objective: value, perRow } = await trainer.accumulate({
        sequences,
        objective,
        ...how,
      });
      const { gradients } = await trainer.read();
      results.push({ value, perRow, gradients });
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    expect(results[3]).toEqual(results[0]);
  });
});

test("the loss of more rows than are taken at once is that of the rows one by one", async () => {
  const model = await load("llama-gqa", { dtype: "f64" });
  const random = rng(4);
  const { vocab } = model.spec;
  const many = Array.from({ length: 12 }, () =>
    Array.from({ length: 30 }, () => random.int(vocab)),
  );
  const all = Int32Array.from({ length: 360 }, (_, row) => row);
  const targets = all.map(() => random.int(vocab));
  const weights = Float64Array.from(all, () => random.next() / 360);
  const part = (from: number, to: number) => ({
    kind: "cross-entropy" as const,
    rows: all.subarray(from, to),
    targets: targets.subarray(from, to),
    weights: weights.subarray(from, to),
  });
  using whole = await model.createTrainer(allSlices(model));
  using parts = await model.createTrainer(allSlices(model));
  const run = await whole.accumulate({ sequences: many, objective: part(0, 360) });
  const losses: number[] = [];
  for (let from = 0; from < 360; from += 60) {
    const one = await parts.accumulate({ sequences: many, objective: part(from, from + 60) });
    losses.push(...one.perRow);
  }
  expect(Array.from(run.perRow)).toEqual(losses);
  const expected = (await parts.read()).gradients;
  for (const [i, gradient] of (await whole.read()).gradients.entries()) {
    // Sums of doubles in another order. Measured 2e-16.
    gradient.forEach((x, j) => {
      expect(Math.abs(x - (expected[i]?.[j] as number))).toBeLessThan(1e-14);
    });
  }
});

test("they can be taken away, and what is wrong is refused", async () => {
  const model = await load("llama-gqa");
  const before = await loss(model);
  const bits = await weightBits(model);
  const slices = await addAll(model, 2, 1);
  expect(await loss(model)).not.toBe(before);
  using trainer = await model.createTrainer(slices);
  await model.removeWeights();
  expect(await loss(model)).toBe(before);
  expect(await weightBits(model)).toEqual(bits);
  // The trainer keeps what it trains.
  expect((await trainer.read()).values).toHaveLength(slices.length);
  await expect(model.readWeight({ slot: "wq.loraA", layer: 1 })).rejects.toThrow("no weight");

  await model.addWeights({ slot: "wq", layer: 0, rank: 2, scale: 1 });
  const add = (slot: string, layer: number, rank: number) =>
    model.addWeights({ slot: slot as MatrixSlot, layer, rank, scale: 1 });
  await expect(add("wq", 0, 2)).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
  await expect(add("wk", 0, 0)).rejects.toThrow(/rank 0 .*expected 1 to/);
  await expect(add("embed", -1, 2)).rejects.toThrow("no matrix of a layer");
  await expect(add("wq", 9, 2)).rejects.toThrow("no weight");
  await expect(model.addWeights({ slot: "zOffset", layer: 7 })).rejects.toThrow("layer 7");
  using low = await model.createTrainer(allSlices(model).filter(({ layer }) => layer === 0));
  const { residual } = await model.forward({ sequences, stopAtLayer: 1 });
  const start = { layer: 1, residual: residual ?? new Float32Array() };
  await expect(low.accumulate({ sequences, objective, start })).rejects.toThrow("would not train");
});
