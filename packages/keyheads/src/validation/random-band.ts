// What random sets leave, as a band to hold a chosen set against.
import type { RandomBand } from "../results.ts";
import { mean } from "../statistics/bootstrap.ts";
import { percentileInterval } from "../statistics/percentile.ts";
import type { Accuracies } from "./ablate.ts";

/** Numbers of variants: the chosen set, and the drawn ones of its size. */
export interface BandSets {
  readonly k: number;
  readonly chosen: number;
  readonly drawn: readonly number[];
  readonly exhaustive: boolean;
}

/** undefined where nothing was drawn. */
export function randomBand(
  { k, chosen, drawn, exhaustive }: BandSets,
  task: Accuracies,
  control?: Accuracies,
): RandomBand | undefined {
  if (drawn.length === 0) return undefined;
  const pick = (run: Accuracies) => Float64Array.from(drawn, (v) => run.variants[v] as number);
  const share = (of: Float64Array, holds: (value: number) => boolean) =>
    of.filter(holds).length / of.length;
  const accuracies = pick(task);
  const [low, high] = percentileInterval(accuracies);
  const limit = task.variants[chosen] as number;
  const atMost = share(accuracies, (accuracy) => accuracy <= limit);
  const band = { k, mean: mean(accuracies), low, high, draws: drawn.length, exhaustive, atMost };
  if (!control) return band;
  const drops = Float64Array.from(drawn, (v) => specificDrop(task, control, v));
  const [dropLow, dropHigh] = percentileInterval(drops);
  const own = specificDrop(task, control, chosen);
  // Differences of differences of the same shares may differ in the last bit.
  const atLeast = share(drops, (drop) => drop >= own - 1e-12);
  return {
    ...band,
    controlMean: mean(pick(control)),
    specificDrop: { mean: mean(drops), low: dropLow, high: dropHigh, atLeast },
  };
}

/** Fall of the task minus fall of the control, with a variant's components removed. */
export function specificDrop(task: Accuracies, control: Accuracies, variant: number): number {
  const fall = (run: Accuracies) => run.base - (run.variants[variant] as number);
  return fall(task) - fall(control);
}
