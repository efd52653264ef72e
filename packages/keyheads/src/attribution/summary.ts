// From per-item effects to what is reported: means with cluster-bootstrap intervals, and shares of
// the total effect as a ratio of means (a mean of ratios would let pairs without a total rule).
import {
  type BootstrapOptions,
  type Clusters,
  clusterDraws,
  type Estimate,
  ratioOfMeans,
  sum,
} from "../statistics/bootstrap.ts";
import { type Effect, type Guard, relativeLogit } from "./effects.ts";
import { numbers, type Reading } from "./reading.ts";

/** A total effect below this share of the logits' own size is rounding; nothing is divided by it. */
const rounding = 1e-6;

/** Of every sender, on every item. */
export interface ItemEffects {
  readonly effects: readonly Float64Array[];
  /** The paper's measure, whatever effect is shown. */
  readonly relative: readonly Float64Array[];
}

/** Effects of runs in which one sender after the other was replaced. */
export function effectsOfRuns(
  effect: Effect,
  reference: Reading,
  patched: readonly Reading[],
  guard: Guard,
): ItemEffects {
  const of = (one: Effect) => patched.map((run) => itemEffects(one, reference, run, guard));
  return { effects: of(effect), relative: of(relativeLogit) };
}

/** Effect on every item; NaN items do not take part. */
export function itemEffects(
  effect: Effect,
  reference: Reading,
  patched: Reading,
  guard: Guard,
): Float64Array {
  return reference.answer.map((_, item) =>
    effect.of(numbers(reference, item), numbers(patched, item), guard),
  );
}

export interface Summary {
  readonly estimates: readonly Estimate[];
  /** NaN where the total effect is no more than rounding. */
  readonly shares: readonly number[];
}

/** Means over items (of a normalised effect: shares of the total), with intervals. */
export function summarise(
  effect: Effect,
  senders: readonly Float64Array[],
  total: Float64Array,
  clusters: Clusters,
  options: BootstrapOptions,
): Summary {
  const draws = clusterDraws(clusters.count, options);
  const denominator = effect.name === "normalised" ? total : new Float64Array(total.length).fill(1);
  const whole = present(total);
  return {
    estimates: senders.map((values) => ratioOfMeans(values, denominator, clusters, draws)),
    shares: senders.map((values) => present(values) / whole),
  };
}

/** Is the total effect more than rounding, so that shares of it mean something? */
export function totalIsReal(reference: Reading, counterfactual: Reading): boolean {
  const size = sum(reference.answer.map(Math.abs)) + sum(counterfactual.answer.map(Math.abs));
  const change = reference.answer.map((answer, item) =>
    Math.max(
      Math.abs(answer - (counterfactual.answer[item] as number)),
      Math.abs((reference.other[item] as number) - (counterfactual.other[item] as number)),
    ),
  );
  return sum(change) > rounding * size;
}

/** Mean over the items that take part. */
export function meanPresent(values: Float64Array): number {
  return present(values) / values.reduce((n, value) => n + (Number.isNaN(value) ? 0 : 1), 0);
}

function present(values: Float64Array): number {
  return values.reduce((total, value) => total + (Number.isNaN(value) ? 0 : value), 0);
}
