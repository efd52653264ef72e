// What is kept of the layers below the trained ones must not show in the result.
import { expect, test } from "vitest";
import { answerBatch, answersOf } from "../../packages/keyheads/src/evaluation/answers.ts";
import { PrefixCache } from "../../packages/keyheads/src/tuning/prefix-cache.ts";
import { parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { load, randomItems, weightBits } from "./models.ts";

test.each(["gpt2", "gpt_neox"])("%s: the same bits with and without", async (name) => {
  const results: unknown[] = [];
  for (const prefixCache of [false, {}, { memory: 5000, disk: 3000 }, { memory: 0 }] as const) {
    const model = await load(name);
    const train = randomItems(9, model.spec.vocab);
    const options = { select: { heads: parseHeads("1.1"), mlps: [1] }, lr: 1e-3, batch: 4 };
    const { loss } = await tune(model, { ...options, train, epochs: 3, prefixCache });
    results.push({ loss, bits: await weightBits(model) });
  }
  for (const result of results.slice(1)) expect(result).toEqual(results[0]);
});

test("keeps what fits, in memory and on disk, and gives it back", async () => {
  const model = await load("llama");
  const set = answersOf(randomItems(12, model.spec.vocab));
  const items = set.answerStarts.length;
  const order = Array.from({ length: items }, (_, i) => i).reverse();
  const batch = answerBatch(set, order);
  const { residual } = await model.forward({ sequences: batch.sequences, stopAtLayer: 2 });
  const all = 4 * model.spec.dModel * batch.tokens.length;
  await using cache = new PrefixCache(model, set, 2, { memory: all / 2, disk: all / 4 });
  for (let pass = 0; pass < 3; ++pass) {
    const start = await cache.start(order, batch);
    expect(start.layer).toBe(2);
    expect(start.residual).toEqual(residual);
    expect(cache.kept.memory).toBeGreaterThan(3);
    expect(cache.kept.disk).toBeGreaterThan(0);
    expect(cache.kept.memory + cache.kept.disk).toBeLessThan(items);
  }
});
