// Is a task lost when the heads found for it are removed, more than when others are, and is the
// control kept? Heads and MLPs are removed one after the other; random sets of the same size and a
// control run on the same axis.
import { performance } from "node:perf_hooks";
import { type Component, checkComponents, componentName, mlp } from "../attribution/component.ts";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { KnockoutPoint, KnockoutResult } from "../results.ts";
import { rng } from "../statistics/rng.ts";
import { type Accuracies, ablate } from "./ablate.ts";
import type { Items, KnockOutOptions } from "./options.ts";
import { randomBand, specificDrop } from "./random-band.ts";
import { randomSets } from "./random-sets.ts";
import { VariantList } from "./variant-list.ts";

/**
 * Accuracy as heads and MLPs are removed one after the other, beside random sets and a control.
 *
 * Throws BAD_ARGUMENT for components that do not exist or if none are given, BAD_ITEMS for sets
 * over which no mean can be taken.
 *
 * @example
 * const proof = await knockOut(model, items, { heads: parseHeads("2.2,2.1"), control: others });
 */
export async function knockOut(
  model: Model,
  items: Items,
  options: KnockOutOptions,
): Promise<KnockoutResult> {
  const started = performance.now();
  const chosen: Component[] = [...(options.heads ?? []), ...(options.mlps ?? []).map(mlp)];
  checkComponents(chosen, model.spec);
  if (chosen.length === 0) {
    throw new KeyheadsError("BAD_ARGUMENT", "no heads or MLPs to remove; name some");
  }
  const { random: draws = 200, layerMatched = false, seed = 0, control } = options;
  if (!(Number.isInteger(draws) && draws >= 0)) {
    throw new KeyheadsError("BAD_ARGUMENT", `random ${draws}: expected 0 or a number of sets`);
  }
  const random = rng(seed);
  const sizes = chosen.map((_, i) => i + 1);
  const bands = sizes.map((k) =>
    draws === 0
      ? { sets: [], exhaustive: false }
      : randomSets(model.spec, chosen.slice(0, k), { draws, layerMatched, random }),
  );
  const variants = new VariantList();
  const chosenAt = sizes.map((k) => variants.add(chosen.slice(0, k)));
  const bandAt = bands.map(({ sets }) => sets.map((set) => variants.add(set)));

  const parts = control ? 2 : 1;
  const progress = (part: number) => ({
    ...options,
    onProgress: (done: number, total: number) =>
      options.onProgress?.(done + part * total, parts * total),
  });
  const task = await ablate(model, items, variants.list, options.meanOver, progress(0), "task");
  const other =
    control &&
    (await ablate(model, control, variants.list, options.controlMeanOver, progress(1), "control"));

  const point = (k: number, at?: number): KnockoutPoint => ({
    k,
    ...(k > 0 && { added: componentName(chosen[k - 1] as Component) }),
    accuracy: accuracyAt(task, at),
    ...(other && {
      control: accuracyAt(other, at),
      specificDrop: at === undefined ? 0 : specificDrop(task, other, at),
    }),
  });
  const { ablation = "mean", positions = "all" } = options;
  return {
    items: { used: itemsOf(items).length, dropped: droppedOf(items) },
    ablation,
    positions,
    meanOver: task.description,
    ...(other && { controlMeanOver: other.description }),
    curve: [point(0), ...sizes.map((k, i) => point(k, chosenAt[i]))],
    random: bands.flatMap(({ exhaustive }, i) => {
      const sets = { k: i + 1, exhaustive, drawn: bandAt[i] as number[] };
      return randomBand({ ...sets, chosen: chosenAt[i] as number }, task, other) ?? [];
    }),
    seconds: (performance.now() - started) / 1000,
  };
}

function accuracyAt(run: Accuracies, at: number | undefined): number {
  return at === undefined ? run.base : (run.variants[at] as number);
}
