// Generation with and without a cache, alone and in one batch; and that a batch changes nothing.
import type { FloatArray } from "@keyheads/native";
import { Comparison } from "./comparison.ts";
import type { Check } from "./context.ts";

/** maxAbs is the number of wrong tokens. */
export const generation: Check = async (context) => {
  const { generation: cases } = context.goldens.settings;
  const prompts = cases.map(({ prompt }) => prompt);
  const wrong = new Comparison(0);
  const count = (found: readonly number[], expected: readonly number[]) => {
    const length = Math.max(found.length, expected.length);
    const differ = Array.from({ length }, (_, i) => (found[i] === expected[i] ? 0 : 1));
    wrong.one(differ.reduce<number>((sum, n) => sum + n, 0));
  };
  for (const useCache of [true, false]) {
    const options = { useCache, ...context.call };
    const maxTokens = cases[0]?.tokens.length ?? 0;
    const together = await context.model.generateMany(prompts, { ...options, maxTokens });
    for (const [i, { prompt, tokens }] of cases.entries()) {
      count(together[i]?.slice(0, tokens.length) ?? [], tokens);
      const alone = { ...options, maxTokens: tokens.length };
      count(await context.model.generate(prompt, alone), tokens);
    }
  }
  return wrong.outcome;
};

/** Items of different length in one batch, against each alone: the same bits, but on a GPU. */
export const ragged: Check = async (context) => {
  const rows = await context.tensors.readRows("input_ids");
  const sequences = rows.flatMap((row, i) => [row, row.slice(0, 1 + i), row.slice(3 * i)]);
  const run = async (batch: readonly (readonly number[])[]): Promise<FloatArray> => {
    const readout = { rows: "all", logits: "all" } as const;
    const { logits } = await context.model.forward({ sequences: batch, readout, ...context.call });
    return logits as FloatArray;
  };
  const together = await run(sequences);
  const comparison = new Comparison(context.betweenRuns);
  let at = 0;
  for (const sequence of sequences) {
    const alone = await run([sequence]);
    comparison.add(together.subarray(at, at + alone.length), alone);
    at += alone.length;
  }
  return comparison.outcome;
};
