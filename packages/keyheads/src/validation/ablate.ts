// Accuracy on one set of items with each of many sets of heads and MLPs removed: one sweep a chunk.
import { chunkSize } from "../attribution/chunk-size.ts";
import type { Component } from "../attribution/component.ts";
import { itemsOf } from "../attribution/pairs.ts";
import { runSweep } from "../attribution/sweep.ts";
import type { CallOptions, Model } from "../model.ts";
import { type Case, casesOf } from "./cases.ts";
import type { AblationOptions, Items } from "./options.ts";
import { prepareReplacement } from "./replacement.ts";

export interface Accuracies {
  /** With nothing removed. */
  readonly base: number;
  readonly variants: Float64Array;
  /** What was put in place of what was removed. */
  readonly description: string;
}

/** `role` is what errors call the items: "task" or "control". */
export async function ablate(
  model: Model,
  items: Items,
  variants: readonly (readonly Component[])[],
  meanOver: Items | undefined,
  options: AblationOptions,
  role: string,
): Promise<Accuracies> {
  const { ablation = "mean", positions = "all", answer = "all", align, seed = 0 } = options;
  const cases = casesOf(items, answer, role);
  const over = meanOver ? casesOf(meanOver, answer, "mean-over") : cases;
  const longest = [...cases, ...over].reduce((most, one) => {
    return Math.max(most, one.sequence.length);
  }, 0);
  const batch = options.batch ?? chunkSize(model, longest, positions, variants.length);
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const settings = { ablation, positions, align, seed, batch };
  const replacement = await prepareReplacement(model, cases, over, settings, call);

  const count = itemsOf(items).length;
  const right = Array.from({ length: variants.length + 1 }, () => new Uint8Array(count).fill(1));
  for (let start = 0; start < cases.length; start += batch) {
    const chunk = cases.slice(start, start + batch);
    const bank = await replacement.bank(
      chunk.map((_, i) => start + i),
      call,
    );
    const result = await runSweep(
      model,
      {
        sequences: chunk.map((one) => one.sequence),
        variants,
        ...(bank && { bank }),
        freeze: "none",
        positions,
        readout: { logits: "none", argmax: true },
      },
      {
        ...call,
        onProgress: (done, total) =>
          options.onProgress?.(
            Math.floor((start + (chunk.length * done) / total) * variants.length),
            cases.length * variants.length,
          ),
      },
    );
    markWrong(right[variants.length] as Uint8Array, chunk, result.base.argmax as Int32Array);
    variants.forEach((_, v) => {
      const answers = result.variants.argmax?.subarray(v * chunk.length, (v + 1) * chunk.length);
      markWrong(right[v] as Uint8Array, chunk, answers as Int32Array);
    });
  }
  const accuracies = Float64Array.from(
    right,
    (flags) => flags.reduce((total, flag) => total + flag, 0) / count,
  );
  return {
    base: accuracies[variants.length] as number,
    variants: accuracies.subarray(0, variants.length),
    description: replacement.description,
  };
}

/** An item is right if every one of its cases is. */
function markWrong(right: Uint8Array, cases: readonly Case[], answers: Int32Array): void {
  cases.forEach((one, i) => {
    if (answers[i] !== one.answer) right[one.item] = 0;
  });
}
