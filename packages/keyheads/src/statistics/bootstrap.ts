// Cluster bootstrap with percentile intervals: whole clusters (operand facts, templates) are drawn
// with replacement, because items of one cluster are not independent. A mean and a ratio of means
// depend on sums per cluster only, so that all heads share one matrix of draws.
import type { Interval } from "../results.ts";
import { percentileInterval } from "./percentile.ts";
import { rng } from "./rng.ts";

export interface BootstrapOptions {
  /** 1000 by default. */
  readonly draws?: number;
  /** 0 by default. */
  readonly seed?: number;
  /** 0.95 by default. */
  readonly level?: number;
}
export interface Estimate {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}
/** Items by cluster; `of[i]` is the cluster number of item i. */
export interface Clusters {
  readonly count: number;
  readonly of: Int32Array;
}

/** Numbers clusters in order of appearance. */
export function numberClusters(names: readonly string[]): Clusters {
  const numbers = new Map<string, number>();
  const of = Int32Array.from(names, (name) => {
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    return number;
  });
  return { count: numbers.size, of };
}

/**
 * Interval of any statistic of the values. `statistic` gets the values of one draw, repeated as
 * often as their cluster was drawn. With a single cluster the interval is the estimate itself.
 */
export function clusterBootstrap(
  values: Float64Array,
  clusters: readonly string[],
  statistic: (values: Float64Array) => number,
  options: BootstrapOptions = {},
): Estimate {
  if (values.length !== clusters.length) {
    throw new RangeError(`${values.length} values but ${clusters.length} cluster names`);
  }
  const members: number[][] = [];
  numberClusters(clusters).of.forEach((cluster, i) => {
    members[cluster] ??= [];
    members[cluster].push(values[i] as number);
  });
  const random = rng(options.seed ?? 0);
  const draws = Float64Array.from({ length: options.draws ?? 1000 }, () => {
    const drawn = members.flatMap(() => members[random.int(members.length)] as number[]);
    return statistic(Float64Array.from(drawn));
  });
  const [low, high] = percentileInterval(draws, options.level);
  return { estimate: statistic(values), low, high };
}

/** How often each cluster was drawn: [draws, clusters]. Rows add up to the number of clusters. */
export function clusterDraws(clusters: number, options: BootstrapOptions = {}): Uint16Array {
  const draws = options.draws ?? 1000;
  const random = rng(options.seed ?? 0);
  const counts = new Uint16Array(draws * clusters);
  for (let draw = 0; draw < draws; ++draw) {
    for (let i = 0; i < clusters; ++i) {
      const at = draw * clusters + random.int(clusters);
      counts[at] = (counts[at] as number) + 1;
    }
  }
  return counts;
}

/**
 * sum(numerator) / sum(denominator) with its interval. NaN entries of the numerator mark items
 * that do not take part; a denominator of ones gives the mean.
 */
export function ratioOfMeans(
  numerator: Float64Array,
  denominator: Float64Array,
  clusters: Clusters,
  draws: Uint16Array,
  level?: number,
): Estimate {
  const above = new Float64Array(clusters.count);
  const below = new Float64Array(clusters.count);
  numerator.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    const cluster = clusters.of[i] as number;
    above[cluster] = (above[cluster] as number) + value;
    below[cluster] = (below[cluster] as number) + (denominator[i] as number);
  });
  const ratios = new Float64Array(draws.length / Math.max(1, clusters.count));
  for (let draw = 0; draw < ratios.length; ++draw) {
    let a = 0;
    let b = 0;
    for (let c = 0; c < clusters.count; ++c) {
      const count = draws[draw * clusters.count + c] as number;
      a += count * (above[c] as number);
      b += count * (below[c] as number);
    }
    ratios[draw] = a / b;
  }
  const [low, high]: Interval = percentileInterval(
    ratios.filter((ratio) => Number.isFinite(ratio)),
    level,
  );
  return { estimate: sum(above) / sum(below), low, high };
}

export function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export function mean(values: Float64Array): number {
  return sum(values) / values.length;
}
