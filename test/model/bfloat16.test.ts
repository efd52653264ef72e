// Models whose matrices are kept as bfloat16: the numbers, training, saving.
import { join } from "node:path";
import type { FloatArray } from "@keyheads/native";
import { afterAll, describe, expect, it } from "vitest";
import { engine } from "../../packages/keyheads/src/engine.ts";
import { readJson } from "../../packages/keyheads/src/load/json.ts";
import type { TensorToWrite } from "../../packages/keyheads/src/load/write-safetensors.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { checkSaved } from "../../packages/keyheads/src/save/check-saved.ts";
import { bfloatBits } from "../../packages/keyheads/src/save/encode.ts";
import { saveModel } from "../../packages/keyheads/src/save/save-model.ts";
import { parseHeads, selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { TensorFile } from "../../packages/keyheads/src/verify/goldens.ts";
import { fixture, Variants } from "../load/variants.ts";
import { randomItems, scratch } from "../tuning/models.ts";

// Matrices only: vectors are float32 here, and rounded in a bfloat16 file.
const select = { heads: parseHeads("0.1,2.3"), mlps: [1] };
const variants = new Variants();
afterAll(() => variants[Symbol.dispose]());
const families = ["gpt2", "llama", "llama-gqa"] as const;
const sequences = [
  [5, 9, 2, 30, 17, 3, 3, 8, 1],
  [7, 1],
];
// A processor that multiplies bfloat16 rounds activations too: there the bits are its own.
const widens = engine().info().isa !== "x86-64-v4-bf16";

/** A tensor of float32 numbers, stored as bfloat16. */
function narrow(tensor: TensorToWrite): TensorToWrite {
  const values = new Float32Array((tensor.data as Uint8Array).slice().buffer);
  const bits = Uint16Array.from(values, bfloatBits);
  return { ...tensor, dtype: "BF16", data: new Uint8Array(bits.buffer) };
}
const widen = (bits: number) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number;
const inBfloat16 = (name: string) =>
  variants.make(name, { tensors: (all) => all.map((tensor) => narrow(tensor)) });

async function logits(model: Model, given: readonly (readonly number[])[] = sequences) {
  const run = await model.forward({
    sequences: given,
    readout: { rows: "all", logits: "all" },
  });
  return run.logits as FloatArray;
}

describe.each(families)("%s", (name) => {
  it("has half the bytes and, of a bfloat16 file, the bits of f32", async () => {
    const folder = await inBfloat16(name);
    const before = engine().memory().weightBytes;
    using narrowed = await Model.load(folder, { dtype: "bf16" });
    const half = engine().memory().weightBytes - before;
    using full = await Model.load(folder);
    const whole = engine().memory().weightBytes - before - half;
    expect(half / whole).toBeLessThan(0.56); // vectors are not halved
    for (const slot of full.files.slots) {
      expect(await narrowed.readWeight(slot)).toEqual(await full.readWeight(slot));
    }
    if (!widens) return;
    expect(await logits(narrowed)).toEqual(await logits(full));
    const objective = {
      kind: "cross-entropy",
      rows: Int32Array.of(3, 8),
      targets: Int32Array.of(4, 9),
      weights: Float32Array.of(1, 0.5),
    } as const;
    const gradients = [{ hook: "hook_embed" }];
    const [a, b] = await Promise.all(
      [narrowed, full].map((model) => model.backward({ sequences, objective, gradients })),
    );
    expect(a).toEqual(b);
  });

  it("rounds a float32 file's matrices to the nearest, ties to even, and keeps its vectors", async () => {
    using narrowed = await Model.load(fixture(name), { dtype: "bf16" });
    using full = await Model.load(fixture(name));
    for (const slot of full.files.slots) {
      const expected = await full.readWeight(slot);
      const matrix = slot.shape.length === 2;
      expect(await narrowed.readWeight(slot)).toEqual(
        matrix ? expected.map((x) => widen(bfloatBits(x))) : expected,
      );
    }
  });

  it("is nearer to float64 than transformers in bfloat16", async () => {
    using model = await Model.load(fixture(name), { dtype: "bf16" });
    const goldens = await TensorFile.open(join(fixture(name), "golden.safetensors"));
    const expected = await goldens.read("logits_f64");
    const found = await logits(model, await goldens.readRows("input_ids"));
    const worst = found.reduce((max, x, i) => Math.max(max, Math.abs(x - (expected[i] ?? 0))), 0);
    const { bfloat16_deviation: theirs } = (await readJson(join(fixture(name), "golden.json"))) as {
      bfloat16_deviation: { max_abs: number };
    };
    expect(worst).toBeGreaterThan(1e-4);
    expect(worst).toBeLessThan(theirs.max_abs);
  });

  it("gives an item the same bits alone and in a batch, for any number of threads", async () => {
    using model = await Model.load(fixture(name), { dtype: "bf16" });
    const together = await logits(model);
    const alone = await Promise.all(sequences.map((sequence) => logits(model, [sequence])));
    expect(Float32Array.from(alone.flatMap((each) => [...each]))).toEqual(together);
    engine().setThreads(1);
    expect(await logits(model)).toEqual(together);
    engine().setThreads(0);
  });

  it("writes rounded, and reads what it wrote", async () => {
    using model = await Model.load(fixture(name), { dtype: "bf16" });
    const slot = { slot: "wq", layer: 0 } as const;
    const values = (await model.readWeight(slot)).map((x, i) => x + i * 1e-3);
    await model.writeWeight(slot, values);
    expect(await model.readWeight(slot)).toEqual(values.map((x) => widen(bfloatBits(x))));
  });
});

describe("training", () => {
  const steps = (lr: number) => ({
    lr,
    beta1: 0,
    beta2: 0,
    eps: 1e-30,
    weightDecay: 0,
    clip: 0,
    gradientScale: 1,
  });
  const objective = {
    kind: "cross-entropy",
    rows: Int32Array.of(3),
    targets: Int32Array.of(4),
    weights: Float32Array.of(1),
  } as const;
  const slice = { slot: "wDown", layer: 1, rows: [0, 3], columns: [1, 6] } as const;

  it("keeps what rounding would lose in masters, which the weights are the roundings of", async () => {
    using model = await Model.load(fixture("llama"), { dtype: "bf16" });
    using trainer = await model.createTrainer([slice]);
    const start = (await trainer.read()).values[0] as FloatArray;
    const before = await model.readWeight(slice);
    // With these settings a step is lr times the gradient's sign: far below half a last place.
    const largest = start.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const lr = (largest * 2 ** -9) / 64;
    let moved = start.slice();
    for (let step = 0; step < 64; ++step) {
      await trainer.accumulate({ sequences, objective });
      const signs = ((await trainer.read()).gradients[0] as FloatArray).map(Math.sign);
      await trainer.update(steps(lr));
      moved = moved.map((x, i) => x - lr * (signs[i] as number));
    }
    const state = await trainer.read();
    const masters = state.values[0] as FloatArray;
    expect(masters.some((x) => x !== widen(bfloatBits(x)))).toBe(true);
    masters.forEach((x, i) => {
      expect(x).toBeCloseTo(moved[i] as number, 6);
    });
    const after = await model.readWeight(slice);
    const { dMlp } = model.spec;
    let changed = 0;
    after.forEach((x, i) => {
      const [row, column] = [Math.floor(i / dMlp), i % dMlp];
      const inside = row < 3 && column >= 1 && column < 6;
      const master = masters[row * 5 + column - 1] as number;
      expect(x).toBe(inside ? widen(bfloatBits(master)) : before[i]);
      if (x !== before[i]) ++changed;
    });
    expect(changed).toBeGreaterThan(0);

    // A trainer that is given this state goes on as this one does.
    using other = await Model.load(fixture("llama"), { dtype: "bf16" });
    using second = await other.createTrainer([slice]);
    await second.write(state);
    expect(await second.read()).toEqual(state);
    expect(await other.readWeight(slice)).toEqual(after);
  });

  it.each(["F32", "BF16"] as const)("and saving work on a model stored as %s", async (stored) => {
    const folder = stored === "F32" ? fixture("llama") : await inBfloat16("llama");
    using model = await Model.load(folder, { dtype: "bf16" });
    const train = randomItems(8, model.spec.vocab);
    const result = await tune(model, { select, train, batch: 4, lr: 1e-2, steps: 6 });
    expect(result.loss.at(-1)).toBeLessThan(result.loss[0] as number);
    expect(result.isolation.unselectedChanged).toBe(0);
    const out = join(await scratch(), "tuned");
    const slices = selectSlices(model, select);
    await saveModel(model, out, { slices, manifest: {} });
    const { maxAbs } = await checkSaved(model, out, { slices, probes: sequences });
    expect(maxAbs).toBe(0);
  });
});

it("no other dtype exists", async () => {
  const dtype = "f16" as "f32";
  await expect(Model.load(fixture("llama"), { dtype })).rejects.toThrow(/'f16'.*f32, bf16, f64/);
});
