// Accuracy on one set of items with each of many sets of heads and MLPs removed.
import type { Component } from "../attribution/component.ts";
import { itemsOf } from "../attribution/pairs.ts";
import type { Model } from "../model.ts";
import { type Case, casesOf } from "./cases.ts";
import type { AblationOptions, Items } from "./options.ts";
import { prepareSweep } from "./sweep-sets.ts";

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
  const { answer = "all" } = options;
  const cases = casesOf(items, answer, role);
  const over = meanOver ? casesOf(meanOver, answer, "mean-over") : cases;
  const sweep = await prepareSweep(model, cases, over, options);

  const count = itemsOf(items).length;
  const right = Array.from({ length: variants.length + 1 }, () => new Uint8Array(count).fill(1));
  const readout = { logits: "none", argmax: true } as const;
  await sweep.run(
    variants,
    () => readout,
    (_, chunk, result) => {
      markWrong(right[variants.length] as Uint8Array, chunk, result.base.argmax as Int32Array);
      variants.forEach((_, v) => {
        const answers = result.variants.argmax?.subarray(v * chunk.length, (v + 1) * chunk.length);
        markWrong(right[v] as Uint8Array, chunk, answers as Int32Array);
      });
    },
  );
  const accuracies = Float64Array.from(
    right,
    (flags) => flags.reduce((total, flag) => total + flag, 0) / count,
  );
  return {
    base: accuracies[variants.length] as number,
    variants: accuracies.subarray(0, variants.length),
    description: sweep.description,
  };
}

/** An item is right if every one of its cases is. */
function markWrong(right: Uint8Array, cases: readonly Case[], answers: Int32Array): void {
  cases.forEach((one, i) => {
    if (answers[i] !== one.answer) right[one.item] = 0;
  });
}
