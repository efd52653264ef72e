// Max-T sign-flip test (Westfall and Young's step of the maximum): are the effects of many senders
// different from zero, with the family-wise error over all senders held? Signs are flipped by
// cluster, the same for all senders, so that their dependence is kept.
import type { Clusters } from "./bootstrap.ts";
import { rng } from "./rng.ts";

export interface MaxTOptions {
  /** 2000 by default; with 2^clusters <= draws all flips are done. */
  readonly draws?: number;
  readonly seed?: number;
}

/**
 * Adjusted two-sided p-value of every sender.
 *
 * @param effects one array of per-item effects a sender; NaN items do not take part
 */
export function maxTSignFlip(
  effects: readonly Float64Array[],
  clusters: Clusters,
  options: MaxTOptions = {},
): Float64Array {
  const sums = effects.map((values) => clusterSums(values, clusters));
  const squares = sums.map((values) => values.reduce((total, value) => total + value * value, 0));
  const n = clusters.count;
  // |t| of a sender grows with |sum| / sqrt(sum of squares), which flips leave as it is.
  const statistic = (sender: number, sum: number) =>
    (squares[sender] as number) > 0 ? Math.abs(sum) / Math.sqrt(squares[sender] as number) : 0;
  const observed = sums.map((values, s) => statistic(s, total(values)));

  const draws = options.draws ?? 2000;
  const exhaustive = 2 ** n <= draws;
  const random = rng(options.seed ?? 0);
  const reached = new Float64Array(effects.length);
  const count = exhaustive ? 2 ** n : draws;
  const signs = new Float64Array(n);
  for (let draw = 0; draw < count; ++draw) {
    for (let c = 0; c < n; ++c) {
      signs[c] = (exhaustive ? Math.floor(draw / 2 ** c) % 2 : random.int(2)) === 0 ? 1 : -1;
    }
    let largest = 0;
    sums.forEach((values, s) => {
      let sum = 0;
      for (let c = 0; c < n; ++c) sum += (values[c] as number) * (signs[c] as number);
      largest = Math.max(largest, statistic(s, sum));
    });
    observed.forEach((value, s) => {
      // The margin keeps the unflipped arrangement from losing to itself by rounding.
      if (largest >= value * (1 - 1e-12)) reached[s] = (reached[s] as number) + 1;
    });
  }
  // All flips include the observed one; random ones get it added.
  return reached.map((times) => (exhaustive ? times / count : (times + 1) / (count + 1)));
}

function clusterSums(values: Float64Array, clusters: Clusters): Float64Array {
  const sums = new Float64Array(clusters.count);
  values.forEach((value, i) => {
    const cluster = clusters.of[i] as number;
    if (!Number.isNaN(value)) sums[cluster] = (sums[cluster] as number) + value;
  });
  return sums;
}

function total(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}
