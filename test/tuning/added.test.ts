// LoRA and head offsets: what they train, and that the model itself stays as it was.
import { describe, expect, test } from "vitest";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { mergeAdded } from "../../packages/keyheads/src/save/merge.ts";
import type { TuneOptions } from "../../packages/keyheads/src/tuning/options.ts";
import { planTuning } from "../../packages/keyheads/src/tuning/plan.ts";
import { parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { load, randomItems, scratch, weightBits } from "./models.ts";

const heads = parseHeads("0.1,2.3");
const settings = { batch: 4, lr: 1e-2, seed: 3, steps: 12 } as const;
const logitsOf = async (model: Model) => {
  const readout = { rows: "all", logits: "all" } as const;
  return (
    (
      await model.forward({
        sequences: [
          [1, 2, 3, 4, 5],
          [6, 7],
        ],
        readout,
      })
    ).logits ?? []
  );
};
const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);

describe.each(["gpt2", "llama-gqa"])("%s", (name) => {
  test.each([
    ["lora", {}],
    ["lora", { heads, mlps: [1] }],
    ["offsets", { heads }],
  ] as const)(
    "%s of %j learns, and the model's own weights keep their bits",
    async (method, select) => {
      const model = await load(name, { dtype: "f64" });
      const before = await weightBits(model);
      const train = randomItems(8, model.spec.vocab);
      const result = await tune(model, { ...settings, lr: 3e-2, train, method, select, steps: 40 });
      // Two vectors learn less than matrices do.
      const share = method === "offsets" ? 0.93 : 0.8;
      expect(result.loss.at(-1)).toBeLessThan(share * (result.loss[0] as number));
      expect(result.isolation).toMatchObject({ changedTensors: [], unselectedChanged: 0 });
      expect(await weightBits(model)).toEqual(before);
      if (name === "llama-gqa" && method === "offsets") return;

      const tuned = await logitsOf(model);
      await mergeAdded(model, planTuning(model, { method, select }).added.added);
      // The same sums in another order. Measured 7e-14 of logits up to 20.
      expect(distance(await logitsOf(model), tuned)).toBeLessThan(1e-12);
      expect(await weightBits(model)).not.toEqual(before);
    },
  );
});

test("LoRA on heads is zero outside their rows of B and columns of A", async () => {
  const model = await load("gpt2");
  const train = randomItems(8, model.spec.vocab);
  const options: TuneOptions = { ...settings, train, method: "lora", select: { heads } };
  await tune(model, { ...options, lora: { rank: 4, alpha: 4 } });
  const { dHead, dModel } = model.spec;
  const b = await model.readWeight({ slot: "wq.loraB", layer: 2 });
  const rows = Array.from({ length: dModel }, (_, n) =>
    b.subarray(4 * n, 4 * n + 4).some((x: number) => x !== 0),
  );
  expect(rows.map((some, n) => some === (n >= 3 * dHead && n < 4 * dHead)).every(Boolean)).toBe(
    true,
  );
  const a = await model.readWeight({ slot: "wo.loraA", layer: 0 });
  const columns = Array.from({ length: dModel }, (_, k) => a[k] !== 0);
  expect(columns.map((some, k) => some === (k >= dHead && k < 2 * dHead)).every(Boolean)).toBe(
    true,
  );
  const plan = planTuning(model, { ...options, lora: { rank: 4, alpha: 4 } });
  expect(plan.trainedParameters).toBe(2 * 4 * 4 * (dModel + dHead));
});

test("checkpoints of LoRA: 6 updates are 3, a stop and 3 more", async () => {
  const folder = await scratch();
  const values = async (model: Model) => [
    ...(await model.readWeight({ slot: "wv.loraA", layer: 1 })),
    ...(await model.readWeight({ slot: "wo.loraB", layer: 0 })),
  ];
  const options = (model: Model): TuneOptions => ({
    ...settings,
    train: randomItems(6, model.spec.vocab),
    method: "lora",
    select: {},
    steps: 6,
  });
  const whole = await load("llama");
  await tune(whole, options(whole));
  const first = await load("llama");
  await tune(first, { ...options(first), steps: 3, checkpointDir: folder });
  const second = await load("llama");
  await tune(second, { ...options(second), checkpointDir: folder, resume: true });
  expect(await values(second)).toEqual(await values(whole));
});

test("what does not fit is refused", async () => {
  const model = await load("llama");
  const run = (options: Partial<TuneOptions>) =>
    tune(model, { ...settings, train: randomItems(4, 90), select: {}, ...options });
  await expect(run({ method: "lora", lora: { rank: 0 } })).rejects.toThrow("rank is 0");
  await expect(run({ method: "lora", lora: { alpha: -1 } })).rejects.toThrow("alpha is -1");
  await expect(run({ method: "lora", select: { matrices: ["finalNorm"] } })).rejects.toThrow(
    "no matrix of a layer",
  );
  await expect(run({ method: "offsets", select: { mlps: [1] } })).rejects.toThrow("name some");
});
