// The metric of a task, item by item, with a set of parts of the model removed: heads and MLPs
// (`SetMeter`), or edges between them (`EdgeMeter`).
import type { ReadoutResult } from "@keyheads/native";
import { type Effect, effectOf } from "../attribution/effects.ts";
import { KeyheadsError } from "../errors.ts";
import type { ReadoutOptions } from "../model.ts";
import type { EffectName } from "../results.ts";
import { mean } from "../statistics/bootstrap.ts";
import type { Case } from "./cases.ts";

/** Metrics that are a level of one run, so that sets can be compared with each other. */
export type MetricName = Extract<EffectName, "logit-difference" | "logprob" | "logit" | "prob">;

/** An effect that is a difference of levels. */
export type Metric = Effect & {
  readonly name: MetricName;
  readonly level: NonNullable<Effect["level"]>;
};

export interface Meter<Part> {
  readonly metric: MetricName;
  /** What removed parts are replaced by. */
  readonly description: string;
  /** Of the items. */
  readonly clusters: readonly string[];
  /** Metrics of all items with each set removed; the empty set is the model as it is. */
  measure(removed: readonly (readonly Part[])[]): Promise<Float64Array[]>;
}

/** Mean metrics with each set removed. */
export async function meansOf<Part>(
  meter: Meter<Part>,
  removed: readonly (readonly Part[])[],
): Promise<number[]> {
  return (await meter.measure(removed)).map(mean);
}

/**
 * By default the logit difference where every case has C', else the log-probability. Throws
 * BAD_ARGUMENT for an effect that is no level, BAD_ITEMS where it needs a C' that a case lacks.
 */
export function chooseMetric(metric: MetricName | undefined, cases: readonly Case[]): Metric {
  const without = cases.find(({ other }) => other === undefined);
  const effect = effectOf(metric ?? (without ? "logprob" : "logit-difference"), !without);
  if (!effect.level) {
    throw new KeyheadsError("BAD_ARGUMENT", `${effect.name} is no level of one run; use logprob`);
  }
  if (effect.needsOther && without) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${without.name} has no counterfactual answer, which ${effect.name} needs; use logprob`,
    );
  }
  return effect as Metric;
}

/** Asks for what the metric needs at END of every case. */
export function readoutOf(metric: Metric, cases: readonly Case[]): ReadoutOptions {
  return {
    logits: "tokens",
    tokens: Int32Array.from(cases.flatMap(({ answer, other }) => [answer, other ?? answer])),
    logsumexp: metric.needsLogsumexp,
  };
}

/** The metric of `count` cases, which begin at case `start` of what was read. */
export function levelsOf(
  { level }: Metric,
  { logits, logsumexp }: ReadoutResult,
  start: number,
  count: number,
): Float64Array {
  return Float64Array.from({ length: count }, (_, i) =>
    level({
      answer: logits?.[2 * (start + i)] as number,
      other: logits?.[2 * (start + i) + 1] as number,
      logsumexp: logsumexp?.[start + i] ?? Number.NaN,
    }),
  );
}
