// Every way of tuning on one budget, on the planted model, whose task heads are known.
import { join } from "node:path";
import { expect, test } from "vitest";
import { answersOf } from "../../packages/keyheads/src/evaluation/answers.ts";
import { divergence, predict } from "../../packages/keyheads/src/evaluation/kl.ts";
import { readItems } from "../../packages/keyheads/src/tasks/items.ts";
import { comparedRuns } from "../../packages/keyheads/src/tuning/compare-methods.ts";
import { compareTuning } from "../../packages/keyheads/src/tuning/compare-tuning.ts";
import { matchGain } from "../../packages/keyheads/src/tuning/match-gain.ts";
import { planTuning } from "../../packages/keyheads/src/tuning/plan.ts";
import { parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";
import { countParameters } from "../../packages/keyheads/src/tuning/slots.ts";
import { fixture, load, randomItems, weightBits } from "./models.ts";

test("all methods start from the same model, which is left as it was", async () => {
  const model = await load("planted");
  const before = await weightBits(model);
  const { items } = await readItems(join(fixture("planted"), "problems.jsonl"), model.tokenizer, {
    vocab: model.spec.vocab,
    context: model.spec.context,
    single: true,
  });
  const heads = parseHeads("0.2,1.5");
  const runs = comparedRuns(model, { heads, draws: 5, lora: { rank: 2 } });
  const names = ["precise", "full", "lora", "lora-heads", "offsets"];
  const random = [1, 2, 3, 4, 5].map((n) => `random-${n}`);
  expect(runs.map(({ name }) => name)).toEqual([...names, ...random, "mlp"]);

  const set = (from: number, to: number) => items.slice(from, to);
  const text = answersOf(randomItems(4, model.spec.vocab));
  const result = await compareTuning(model, {
    runs,
    train: set(0, 40),
    dev: set(40, 60),
    test: set(60, 100),
    others: [{ name: "other", items: set(100, 130) }],
    text,
    patch: set(60, 80),
    learningRates: [1e-3, 1e-2],
    steps: 2,
    batch: 8,
  });
  expect(await weightBits(model)).toEqual(before);
  expect(result.before.text?.kl).toBe(0);
  expect(result.before.task.paired).toMatchObject({ difference: 0, fixed: 0, broken: 0 });
  expect(result.before.direct?.overlap).toBe(1);
  for (const method of result.methods) {
    expect(method.rates).toHaveLength(2);
    expect(method.steps).toBe(2);
    expect(method.unselectedChanged).toBe(0);
    expect(method.text?.kl, method.name).toBeGreaterThan(0);
    expect(method.peakBytes).toBeGreaterThan(0);
    expect(method.task.paired.baseline).toBe(result.before.task.accuracy);
    const rates = method.rates.map(({ loss }) => loss ?? Number.POSITIVE_INFINITY);
    const best = method.rates[rates.indexOf(Math.min(...rates))];
    expect(method.lr).toBe(best?.lr);
  }
  const [precise, full] = result.methods;
  expect(full?.trainedParameters).toBe(model.parameterCount);
  const mlp = result.methods.at(-1);
  const close = (mlp?.trainedParameters ?? 0) / (precise?.trainedParameters ?? 1);
  expect(close).toBeGreaterThan(0.9);
  expect(close).toBeLessThan(1.1);
}, 60_000);

test("MLP neurons are rows of W_up and W_gate and columns of W_down", async () => {
  const model = await load("llama");
  const plan = planTuning(model, { select: { neurons: [{ layer: 1, start: 3, stop: 5 }] } });
  expect(plan.slices.map(({ slot, rows, columns }) => [slot, rows, columns])).toEqual([
    ["wGate", [3, 5], [0, model.spec.dModel]],
    ["wUp", [3, 5], [0, model.spec.dModel]],
    ["wDown", [0, model.spec.dModel], [3, 5]],
  ]);
  expect(countParameters(plan.slices)).toBe(6 * model.spec.dModel);
  const beyond = { layer: 1, start: 3, stop: model.spec.dMlp + 1 };
  expect(() => planTuning(model, { select: { neurons: [beyond] } })).toThrow("expected a range");
});

test("KL is that of its definition", async () => {
  const model = await load("gpt2", { dtype: "f64" });
  const chunks = answersOf(randomItems(3, model.spec.vocab));
  const base = await predict(model, chunks);
  expect(await divergence(model, base)).toBe(0);
  const norm = await model.readWeight({ slot: "finalNorm", layer: -1 });
  await model.writeWeight(
    { slot: "finalNorm", layer: -1 },
    norm.map((x: number) => 1.1 * x),
  );
  const tuned = await predict(model, chunks);
  const { vocab } = model.spec;
  const rows = base.logprobs.length / vocab;
  let expected = 0;
  base.logprobs.forEach((p, i) => {
    expected += (Math.exp(p) * (p - (tuned.logprobs[i] as number))) / rows;
  });
  expect(expected).toBeGreaterThan(1e-3);
  expect(await divergence(model, base)).toBeCloseTo(expected, 9);
  await expect(predict(model, chunks, { maxBytes: 100 })).rejects.toThrow("use less text");
});

test("the verdict at matched gain comes from the same sets", async () => {
  const model = await load("gpt2");
  const before = await weightBits(model);
  const train = randomItems(6, model.spec.vocab);
  const result = await matchGain(model, {
    heads: parseHeads("0.1"),
    gain: 100,
    learningRates: [1e-3],
    ...{ train, dev: train, test: train },
    others: [{ name: "other", items: randomItems(9, model.spec.vocab, 2) }],
    draws: 2,
    maxUpdates: 1,
  });
  expect(result.verdict.supported).toBe(false);
  expect(result.methods.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(["key", "random", "mlp", "full"]),
  );
  expect(await weightBits(model)).toEqual(before);
  const few = [{ name: "few", items: randomItems(2, 100) }];
  await expect(
    matchGain(model, {
      heads: parseHeads("0.1"),
      gain: 1,
      learningRates: [1e-3],
      train,
      dev: train,
      test: train,
      others: few,
    }),
  ).rejects.toThrow("few has 2 items");
});
