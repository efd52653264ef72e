import { describe, expect, test } from "vitest";
import { accuracyAtLeast, accuracyOf } from "../../packages/keyheads/src/evaluation/accuracy.ts";
import { answersOf } from "../../packages/keyheads/src/evaluation/answers.ts";
import { compareEvaluations } from "../../packages/keyheads/src/evaluation/compare.ts";
import {
  evaluate,
  evaluateItems,
  summarise,
} from "../../packages/keyheads/src/evaluation/evaluate.ts";
import type { EvaluatedItems } from "../../packages/keyheads/src/evaluation/outcomes.ts";
import { itemsFromText, readItems } from "../../packages/keyheads/src/tasks/items.ts";
import { fixture, load, randomItems } from "../tuning/models.ts";

const problems = fixture("planted/problems.jsonl");

describe("the planted model", () => {
  test("is right on all its problems, in every mode", async () => {
    const model = await load("planted");
    const set = await readItems(problems, model.tokenizer, model.spec);
    expect(set.items).toHaveLength(300);
    const result = await evaluate(model, set);
    expect(result).toMatchObject({ mode: "teacher", n: 300, accuracy: 1, items: { used: 300 } });
    expect(result.ci[0]).toBeCloseTo(300 / (300 + 1.96 ** 2), 3);
    expect(result.logprob).toBeLessThan(0);
    expect(result.logprobCI[0]).toBeLessThan(result.logprob);
    expect(result.logprobCI[1]).toBeGreaterThan(result.logprob);
    const greedy = await evaluate(model, set, { mode: "generate", batchTokens: 100 });
    expect(greedy).toMatchObject({ mode: "generate", accuracy: 1, logprob: result.logprob });
  });

  test("is wrong where the answer is another number, and the pairs say so", async () => {
    const model = await load("planted");
    const { items } = await readItems(problems, model.tokenizer, model.spec);
    const before = await evaluateItems(model, items);
    const other = items.map((item, i) =>
      i % 3 === 0 ? { ...item, answerIds: [(item.answerIds[0] as number) === 2 ? 3 : 2] } : item,
    );
    const result = await evaluate(model, other, { baseline: before });
    expect(result.accuracy).toBe(200 / 300);
    expect(result.paired).toMatchObject({ baseline: 1, fixed: 0, broken: 100 });
    expect(result.paired?.difference).toBeCloseTo(-1 / 3, 12);
    expect(result.paired?.p).toBeCloseTo(2 ** -99, 36);
    expect(result.paired?.ci[0]).toBeLessThan(-1 / 3);
    expect(result.paired?.ci[1]).toBeGreaterThan(-1 / 3);
  });

  test("chooses the right one of several answers", async () => {
    const model = await load("planted");
    const lines = [
      { prompt: "3+4=", answer: "7", choices: ["7", "8", "12"] },
      { prompt: "3*4=", answer: "7", choices: ["7", "8", "12"] },
    ];
    const text = lines.map((line) => JSON.stringify(line)).join("\n");
    const { items } = itemsFromText(text, model.tokenizer, model.spec);
    const result = await evaluateItems(model, items, { mode: "choice" });
    expect([...result.correct]).toEqual([1, 0]);
    const first = await evaluateItems(model, items);
    expect(result.logprob[0]).toBeCloseTo(first.logprob[0] as number, 6);
    const without = evaluateItems(model, randomItems(1, 50), { mode: "choice" });
    await expect(without).rejects.toMatchObject({
      code: "BAD_ITEMS",
      message: expect.stringContaining("has no choice besides its answer"),
    });
  });
});

describe("answers of several tokens", () => {
  test("accuracy and log-probability do not depend on the batch; greedy decoding agrees", async () => {
    const model = await load("llama-gqa");
    // The model's own greedy continuations are right, others almost surely wrong.
    const random = randomItems(40, model.spec.vocab);
    const prompts = random.map(({ promptIds }) => [...promptIds]);
    const written = await model.generateMany(prompts, { maxTokens: 3 });
    const items = random.map((item, i) =>
      i % 2 === 0 ? { ...item, answerIds: written[i]?.slice(0, 1 + (i % 3)) ?? [] } : item,
    );
    const together = await evaluateItems(model, items);
    const alone = await evaluateItems(model, items, { batchTokens: 1 });
    expect(together).toEqual(alone);
    expect((await evaluateItems(model, items, { mode: "generate" })).correct).toEqual(
      together.correct,
    );
    expect([...together.correct].filter((_, i) => i % 2 === 0)).toEqual(Array(20).fill(1));
    const fast = await accuracyOf(model, answersOf(items), { batchTokens: 50 });
    expect(fast.correct).toEqual(together.correct);
    expect(fast.accuracy).toBe(together.correct.reduce((a, b) => a + b, 0) / 40);

    const set = answersOf(items);
    const stop = { batchTokens: 1 };
    expect(await accuracyAtLeast(model, set, fast.accuracy, stop)).toBe(fast.accuracy);
    let read = 0;
    const counted = {
      ...stop,
      onProgress: (done: number) => {
        read = done;
      },
    };
    const above = await accuracyAtLeast(model, set, fast.accuracy + 1 / 40, counted);
    expect(above).toBeUndefined();
    // The last wrong item decides.
    expect(read).toBeLessThanOrEqual(fast.correct.lastIndexOf(0) + 1);

    const { logits } = await model.forward({
      sequences: [[...(items[1]?.promptIds ?? []), ...(items[1]?.answerIds.slice(0, -1) ?? [])]],
      readout: { rows: "all", logits: "all" },
    });
    const { vocab } = model.spec;
    let sum = 0;
    items[1]?.answerIds.forEach((id, at) => {
      const row = (items[1]?.promptIds.length ?? 0) - 1 + at;
      const values = [...(logits ?? [])].slice(row * vocab, (row + 1) * vocab);
      sum += (values[id] as number) - Math.log(values.reduce((s, x) => s + Math.exp(x), 0));
    });
    expect(together.logprob[1]).toBeCloseTo(sum, 5);
  });

  test("items beyond the context are dropped with the reason, or an error in a packed set", async () => {
    const model = await load("gpt2");
    const { context } = model.spec;
    const long = (length: number) => ({
      id: String(length),
      line: length,
      promptIds: Array(length - 1).fill(1),
      answerIds: [2],
    });
    const result = await evaluate(model, [long(context + 1), long(context + 2)]);
    expect(result.items).toEqual({
      used: 1,
      dropped: [
        {
          line: context + 2,
          why: `${context + 1} tokens are more than the model's context of ${context}`,
        },
      ],
    });
    await expect(accuracyOf(model, answersOf([long(context + 2)]))).rejects.toMatchObject({
      code: "BAD_ITEMS",
    });
    await expect(evaluate(model, [long(context + 2)])).rejects.toMatchObject({ code: "BAD_ITEMS" });
  });
});

describe("intervals", () => {
  const outcomes = (correct: number[], clusters: string[]): EvaluatedItems => ({
    mode: "teacher",
    ids: correct.map((_, i) => String(i)),
    clusters,
    correct: Uint8Array.from(correct),
    logprob: Float64Array.from(correct, (c) => c - 2),
  });
  const alternate = Array.from({ length: 400 }, (_, i) => Math.floor(i / 40) % 2);

  test("are wider where items of a cluster go together", () => {
    const single = summarise(
      outcomes(
        alternate,
        alternate.map((_, i) => String(i)),
      ),
    );
    const clustered = summarise(
      outcomes(
        alternate,
        alternate.map((_, i) => String(Math.floor(i / 40))),
      ),
    );
    expect(single.accuracy).toBe(0.5);
    // Wilson: 0.5 +- 0.049; ten clusters of all or nothing: 0.5 +- 0.31.
    expect(single.ci[1] - single.ci[0]).toBeCloseTo(0.098, 2);
    expect(clustered.ci[1] - clustered.ci[0]).toBeGreaterThan(0.4);
    expect(clustered.logprobCI[1] - clustered.logprobCI[0]).toBeGreaterThan(0.4);
    expect(single.logprob).toBe(-1.5);
  });

  test("of pairs of different items or modes do not exist", () => {
    const a = outcomes([1, 0], ["x", "y"]);
    expect(() => compareEvaluations(a, { ...a, ids: ["0", "9"] })).toThrow("item 1 differs");
    expect(() => compareEvaluations(a, outcomes([1], ["x"]))).toThrow("2 and 1 items");
    expect(() => compareEvaluations(a, { ...a, mode: "choice" })).toThrow("use one mode");
    expect(compareEvaluations(a, a)).toMatchObject({ difference: 0, ci: [0, 0], p: 1 });
  });
});
