// Every set of up to three heads, instead of a few chosen or drawn ones: on a small model the whole
// truth is affordable, and shows heads that only matter together.
import { allHeads, checkComponents, componentName } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { SubsetResult } from "../results.ts";
import { choose, combinations } from "../statistics/combinations.ts";
import { ablate } from "./ablate.ts";
import type { Items, SubsetsOptions } from "./options.ts";

/** More sets than this are a mistake, or need a choice of heads. */
const mostSets = 200_000;

/**
 * Accuracy without every set of at most `size` heads, the empty one first: 697 sets for 3 of 16.
 *
 * Throws BAD_ARGUMENT where there are more than 200,000 sets.
 */
export async function subsets(
  model: Model,
  items: Items,
  options: SubsetsOptions = {},
): Promise<SubsetResult> {
  const { size = 3, heads = allHeads(model.spec), control, ablation = "mean" } = options;
  checkComponents(heads, model.spec);
  if (!(Number.isInteger(size) && size >= 1)) {
    throw new KeyheadsError("BAD_ARGUMENT", `size ${size}: expected an integer of at least 1`);
  }
  const sizes = Array.from({ length: Math.min(size, heads.length) }, (_, i) => i + 1);
  const count = sizes.reduce((total, k) => total + choose(heads.length, k), 1);
  if (count > mostSets) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${count} sets of up to ${size} of ${heads.length} heads are too many (at most ${mostSets}); name fewer heads or a smaller size`,
    );
  }
  const sets = sizes.flatMap((k) => combinations(heads, k));
  const parts = control ? 2 : 1;
  const progress = (part: number) => ({
    ...options,
    onProgress: (done: number, total: number) =>
      options.onProgress?.(done + part * total, parts * total),
  });
  const task = await ablate(model, items, sets, options.meanOver, progress(0), "task");
  const other =
    control &&
    (await ablate(model, control, sets, options.controlMeanOver, progress(1), "control"));
  const entry = (names: string[], accuracy: number, controlAccuracy: number | undefined) => ({
    heads: names,
    accuracy,
    ...(other &&
      controlAccuracy !== undefined && {
        control: controlAccuracy,
        specificDrop: task.base - accuracy - (other.base - controlAccuracy),
      }),
  });
  return {
    ablation,
    baseline: { accuracy: task.base, ...(other && { control: other.base }) },
    sets: [
      entry([], task.base, other?.base),
      ...sets.map((set, v) =>
        entry(set.map(componentName), task.variants[v] as number, other?.variants[v]),
      ),
    ],
  };
}
