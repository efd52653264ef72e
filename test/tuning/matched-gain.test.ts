import { describe, expect, test } from "vitest";
import { accuracyOf } from "../../packages/keyheads/src/evaluation/accuracy.ts";
import { type AnswerSet, answersOf } from "../../packages/keyheads/src/evaluation/answers.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { gainMethods } from "../../packages/keyheads/src/tuning/gain-methods.ts";
import {
  compareAtMatchedGain,
  isFalling,
  type MatchedGainEvent,
  type MatchedGainOptions,
} from "../../packages/keyheads/src/tuning/matched-gain.ts";
import { parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";
import { load, randomItems, weightBits } from "./models.ts";

/** A random model to be taught 16 answers, and 24 answers of its own that it may forget. */
async function setting(): Promise<{ model: Model; options: MatchedGainOptions }> {
  const model = await load("gpt2");
  const train = answersOf(randomItems(16, model.spec.vocab, 4));
  const prompts = randomItems(24, model.spec.vocab, 5).map(({ promptIds }) => [...promptIds]);
  const written = await model.generateMany(prompts, { maxTokens: 1 });
  const other = answersOf(
    prompts.map((promptIds, i) => ({
      id: String(i),
      line: i + 1,
      promptIds,
      answerIds: written[i] as number[],
    })),
  );
  const classOf = async (name: string, set: AnswerSet, of: Model) => {
    const { n, accuracy } = await accuracyOf(of, set);
    return { name, title: name, n, accuracy };
  };
  const options: MatchedGainOptions = {
    methods: gainMethods(model.spec, {
      key: parseHeads("2.0,2.1"),
      draws: 2,
      mlps: [2],
      full: true,
    }),
    target: "new",
    gain: 40,
    train,
    dev: train,
    devOther: other,
    evaluate: async (of) => [await classOf("new", train, of), await classOf("own", other, of)],
    learningRates: [3e-3, 1e-2],
    batch: 16,
    evaluateEvery: 2,
    maxUpdates: 40,
  };
  return { model, options };
}

describe("tuning at matched gain", () => {
  test("every method starts from the same weights, gains as much, and leaves no trace", async () => {
    const { model, options } = await setting();
    const before = await weightBits(model);
    const events: MatchedGainEvent[] = [];
    const seen: string[] = [];
    const progress: number[] = [];
    const result = await compareAtMatchedGain(model, {
      ...options,
      replay: options.devOther,
      replayMethods: ({ kind }) => kind === "key" || kind === "full",
      onEvent: (event) => events.push(event),
      onProgress: (done) => progress.push(done),
      onTuned: async ({ name, kind, after }, tuned, pieces) => {
        seen.push(name);
        const changed = pieces.filter((piece) => piece.before !== piece.after);
        expect(changed.length).toBeGreaterThan(0);
        expect(changed.every(({ selected }) => selected)).toBe(true);
        expect(pieces.every(({ selected }) => selected)).toBe(kind === "full");
        expect(await options.evaluate(tuned)).toEqual(after);
        expect(await weightBits(tuned)).not.toEqual(before);
      },
    });
    expect(await weightBits(model)).toEqual(before);
    expect(result.before.map(({ accuracy }) => accuracy)).toEqual([0, 1]);
    expect(result.methods).toHaveLength(7);
    expect(seen).toEqual(result.methods.map(({ name }) => name));
    expect(progress.at(-1)).toBe(7);
    expect(result.isolation.unselectedChanged).toBe(0);
    expect(result.isolation.changedTensors).toContain("transformer.wte.weight");
    // Tensor by tensor the report is about the key heads alone.
    const { tensors = [], unselectedHash } = result.isolation;
    expect(tensors.map(({ tensor }) => tensor)).toContain("transformer.wte.weight");
    expect(tensors.every(({ before: was, after }) => was === after)).toBe(true);
    expect(tensors.filter(({ trained }) => trained.length > 0).length).toBeLessThan(tensors.length);
    expect(tensors.some(({ trained }) => trained.length > 0)).toBe(true);
    expect(unselectedHash?.before).toBe(unselectedHash?.after);

    const runs = events.filter((event) => event.type === "run");
    for (const method of result.methods) {
      const rates = runs.filter((r) => r.method === method.name && r.replay === method.replay);
      const first = rates[0]?.updates ?? 0;
      // The lower rate is left out where it would need more than 80 updates in proportion, or where
      // the higher one ran out of updates while it was still learning.
      const slow = rates[0]?.updates === null ? rates[0].learning : (first * 1e-2) / 3e-3 > 80;
      const tried = slow ? [1e-2] : [1e-2, 3e-3];
      expect(rates.map(({ lr }) => lr)).toEqual(tried);
      expect(options.learningRates).toContain(method.lr);
      if (method.updates === null) continue;
      expect(method.gain).toBeGreaterThanOrEqual(40);
      expect(method.updates % 2).toBe(0);
      const own = method.after.find(({ name }) => name === "own");
      expect(method.collateral).toBeCloseTo(100 * (1 - (own?.accuracy ?? 0)), 9);
      const same = runs.filter((r) => r.method === method.name && r.replay === method.replay);
      const reached = same.filter(({ updates }) => updates !== null);
      const least = Math.min(...reached.map(({ collateral }) => collateral));
      const chosen = same.find(({ lr }) => lr === method.lr);
      expect(chosen).toMatchObject({ updates: method.updates, collateral: least });
    }
    const full = result.methods.filter(({ kind }) => kind === "full");
    expect(full.map(({ updates }) => updates !== null)).toEqual([true, true]);
    // Replay of what it is tested on must cost less than forgetting it.
    expect(full[1]?.collateral).toBeLessThan(full[0]?.collateral as number);
    expect(result.verdict.supported).toBe(false);
    expect(result.verdict.text).toContain("2 draws are too few");
  });

  test("a learning rate that diverges is passed over; if all do, the run says so", async () => {
    const { model, options } = await setting();
    const methods = options.methods.slice(-1);
    const before = await weightBits(model);
    // Steps of 1e30 overflow the next forward pass.
    const own = { ...options, methods, clip: 0, learningRates: [1e30, 1e-2] };
    const result = await compareAtMatchedGain(model, own);
    expect(result.methods[0]?.lr).toBe(1e-2);
    const diverging = compareAtMatchedGain(model, { ...own, learningRates: [1e30] });
    await expect(diverging).rejects.toMatchObject({
      code: "NON_FINITE",
      message: expect.stringContaining("at any of the learning rates 1e+30"),
    });
    expect(await weightBits(model)).toEqual(before);
  });

  test("stopping restores the weights", async () => {
    const { model, options } = await setting();
    const before = await weightBits(model);
    const abort = new AbortController();
    const stopped = compareAtMatchedGain(model, {
      ...options,
      signal: abort.signal,
      onEvent: (event) => event.type === "method" && abort.abort(),
    });
    await expect(stopped).rejects.toMatchObject({ code: "CANCELLED" });
    expect(await weightBits(model)).toEqual(before);
  });

  test("settings that make no sense are refused", async () => {
    const { model, options } = await setting();
    for (const [change, message] of [
      [{ methods: [] }, "no methods"],
      [{ learningRates: [] }, "no learning rates"],
      [{ gain: 0 }, "the gain of 0 points"],
      [{ batch: 0 }, "batch 0"],
      [{ target: "none" }, 'the classes (new, own) must hold the target "none"'],
      [{ learningRates: [-1] }, "lr is -1"],
    ] as const) {
      const run = compareAtMatchedGain(model, { ...options, ...change });
      await expect(run).rejects.toThrow(message);
    }
    expect(() => gainMethods(model.spec, { key: [] })).toThrow("no key heads");
  });
});

test("a loss that jumped before it fell does not count as learning", () => {
  expect(isFalling([4, 3, 3, 2, 2, 2, 1, 1])).toBe(true);
  expect(isFalling([0.3, 6, 5, 4, 3, 2, 1, 0.9])).toBe(false);
  expect(isFalling([4, 3, 2, 2, 1, 1, 2, 2])).toBe(false);
  expect(isFalling([4, 3])).toBe(false);
});
