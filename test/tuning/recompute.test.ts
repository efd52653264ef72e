// Blocks are computed again on the way back where the memory budget asks for it, and only then.
import { loadBinding } from "@keyheads/native";
import { expect, test } from "vitest";
import { answerBatch, answersOf } from "../../packages/keyheads/src/evaluation/answers.ts";
import type { TuneOptions } from "../../packages/keyheads/src/tuning/options.ts";
import { parseHeads, selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { load, weightBits } from "./models.ts";

/** So many tokens that what blocks keep is most of the memory. */
const items = Array.from({ length: 16 }, (_, item) => ({
  ...{ id: String(item), line: item + 1 },
  promptIds: Array.from({ length: 28 }, (__, i) => (7 * item + 3 * i) % 30),
  answerIds: [(5 * item) % 30, item],
}));
const select = { heads: parseHeads("0.1,2.3") };

/** What a batch of all items needs at most, as the engine plans it. */
async function planned(name: string, recompute: boolean): Promise<number> {
  const model = await load(name);
  const trainer = await model.createTrainer(selectSlices(model, select));
  const { sequences, rows, targets } = answerBatch(answersOf(items), [...items.keys()]);
  const weights = new Float64Array(rows.length);
  const objective = { kind: "cross-entropy", rows, targets, weights } as const;
  const { peakBytes } = await trainer.plan({ sequences, objective, recompute });
  // Budgets are about all models of the process.
  trainer.dispose();
  model.dispose();
  return peakBytes;
}

async function trained(name: string, memoryBudget: number, how: Partial<TuneOptions> = {}) {
  const model = await load(name, { memoryBudget });
  const { memory } = loadBinding();
  memory(true);
  const options = { select, train: items, batch: items.length, steps: 3, lr: 1e-3 };
  try {
    const { loss } = await tune(model, { ...options, ...how });
    const { peakBytes } = memory();
    return { result: { loss, bits: await weightBits(model) }, peakBytes };
  } finally {
    model.dispose();
  }
}

test.each(["gpt2", "llama-gqa"])("%s: chosen by the budget, the same bits", async (name) => {
  const kept = await planned(name, false);
  const again = await planned(name, true);
  expect(again).toBeLessThan(kept);
  const { result } = await trained(name, 0, { recompute: false });

  const budget = Math.round((again + kept) / 2);
  await expect(trained(name, budget, { recompute: false })).rejects.toMatchObject({
    code: "OUT_OF_MEMORY",
  });
  const chosen = await trained(name, budget);
  expect(chosen.result).toEqual(result);
  expect(chosen.peakBytes).toBeLessThanOrEqual(budget);

  // Within a budget that is large enough, and without one, blocks are kept.
  for (const enough of [0, 2 * kept]) {
    const { result: same, peakBytes } = await trained(name, enough);
    expect(same).toEqual(result);
    expect(peakBytes).toBeGreaterThan(budget);
  }
});
