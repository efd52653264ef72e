// What an approximation differentiates: the effect of a run on every pair, as data that the engine
// can differentiate, a weighted sum of logits or of log-probabilities at END.
import type { BackwardRule, Directions, FloatArray, Objective } from "@keyheads/native";
import type { CallOptions, GradientOptions, HookEdit, LayerRange, Model } from "../../model.ts";
import { endRows } from "../../packing.ts";
import type { Effect, Guard, Slope } from "../effects.ts";
import type { Pair } from "../pairs.ts";
import { emptyReading, numbers, pairReadout, type Reading, storeReading } from "../reading.ts";

/** Some pairs, the effect, and what their X_r gave. */
export interface Metric {
  readonly pairs: readonly Pair[];
  readonly effect: Effect;
  readonly guard: Guard;
  readonly reference: Reading;
}

/** A run of the pairs: X_r unless it says otherwise. */
export interface MetricRun extends LayerRange {
  readonly edits?: readonly HookEdit[];
  readonly rules?: readonly BackwardRule[];
  /** What the run would read, where it is not X_r and the effect's slope depends on it. */
  readonly elsewhere?: boolean;
  /** Along which sites may want derivatives in place of gradients. */
  readonly directions?: Directions;
}

/**
 * Gradients of the effect on every pair at these sites, one array a site. Pairs do not see each
 * other, so the rows of an item hold the gradient of its own effect. Where an item's effect is not
 * defined (`isDefined`) they are 0.
 */
export async function gradientsOf(
  model: Model,
  metric: Metric,
  { elsewhere, ...run }: MetricRun,
  gradients: readonly GradientOptions[],
  call: CallOptions,
): Promise<FloatArray[]> {
  const { effect, pairs, reference } = metric;
  const sequences = pairs.map((pair) => pair.reference);
  const { rules, directions, ...forward } = run;
  const reading =
    elsewhere && effect.curved
      ? await readRun(model, metric, { ...forward, sequences }, call)
      : reference;
  const { offsets } = model.pack(sequences);
  const objective = objectiveOf(metric, reading, endRows(offsets));
  const result = await model.backward({ ...run, sequences, objective, gradients, ...call });
  return result.gradients;
}

async function readRun(
  model: Model,
  { pairs, effect }: Metric,
  run: Parameters<Model["forward"]>[0],
  call: CallOptions,
): Promise<Reading> {
  const readout = pairReadout(pairs, effect.needsLogsumexp);
  const reading = emptyReading(pairs.length);
  storeReading(reading, 0, await model.forward({ ...run, readout, ...call }), 0, pairs.length);
  return reading;
}

function objectiveOf(metric: Metric, reading: Reading, ends: Int32Array): Objective {
  const { pairs, effect } = metric;
  const slopes = pairs.map((_, item) => slopeOf(metric, reading, item));
  const both = pairs.flatMap(({ answer, counterfactualAnswer = answer }) => [
    answer,
    counterfactualAnswer,
  ]);
  const weights = slopes.flatMap(({ answer, other }) => [answer, other]);
  if (!effect.needsLogsumexp) {
    return {
      kind: "logits",
      rows: ends,
      targets: Int32Array.from(both),
      weights: Float64Array.from(weights),
    };
  }
  // One term a row, of minus the log-probability: a row comes once for every token that counts.
  const terms = both.map((target, i) => ({
    row: ends[i >> 1] as number,
    target,
    weight: -(weights[i] as number),
  }));
  const counted = terms.filter(({ weight }, i) => weight !== 0 || i % 2 === 0);
  return {
    kind: "cross-entropy",
    rows: Int32Array.from(counted, ({ row }) => row),
    targets: Int32Array.from(counted, ({ target }) => target),
    weights: Float64Array.from(counted, ({ weight }) => weight),
  };
}

function slopeOf({ effect, guard, reference }: Metric, reading: Reading, item: number): Slope {
  const slope = effect.slope(numbers(reference, item), numbers(reading, item), guard);
  return Number.isNaN(slope.answer) ? { answer: 0, other: 0 } : slope;
}

/** Whether the effect is defined on an item at all: a relative logit near zero is not. */
export function isDefined({ effect, guard, reference }: Metric, item: number): boolean {
  const own = numbers(reference, item);
  return !Number.isNaN(effect.of(own, own, guard));
}
