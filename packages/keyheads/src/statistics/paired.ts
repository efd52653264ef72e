// Two runs over the same items: before and after tuning, or two models.
import {
  type BootstrapOptions,
  clusterDraws,
  type Estimate,
  numberClusters,
  ratioOfMeans,
} from "./bootstrap.ts";

/** Mean of after - before, with a cluster-bootstrap interval. */
export function pairedBootstrap(
  before: Float64Array,
  after: Float64Array,
  clusters: readonly string[],
  options: BootstrapOptions = {},
): Estimate {
  if (before.length !== after.length || before.length !== clusters.length) {
    throw new RangeError(
      `paired runs of ${before.length} and ${after.length} items with ${clusters.length} clusters`,
    );
  }
  const numbered = numberClusters(clusters);
  const difference = after.map((value, i) => value - (before[i] as number));
  const ones = new Float64Array(difference.length).fill(1);
  const draws = clusterDraws(numbered.count, options);
  return ratioOfMeans(difference, ones, numbered, draws, options.level);
}

/**
 * Exact McNemar test, two-sided: how likely is a split of the changed items at least as uneven as
 * this, if fixing and breaking were equally likely? 1 if nothing changed.
 */
export function exactMcNemar(fixed: number, broken: number): number {
  const n = fixed + broken;
  const few = Math.min(fixed, broken);
  let logTerm = -n * Math.LN2; // log of choose(n, i) / 2^n, from i = 0
  let tail = 0;
  for (let i = 0; i <= few; ++i) {
    tail += Math.exp(logTerm);
    logTerm += Math.log((n - i) / (i + 1));
  }
  return Math.min(1, 2 * tail);
}
