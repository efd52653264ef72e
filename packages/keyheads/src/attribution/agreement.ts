// How well approximate effects agree with exact ones, where it matters: at the top. (The order of the
// many effects near zero is noise, so a plain rank correlation says little.) Intervals by cluster
// bootstrap: both sides are averaged over the same draws.
import type { Agreed, MethodJudgement } from "../results.ts";
import { type BootstrapOptions, type Clusters, clusterDraws } from "../statistics/bootstrap.ts";
import { rankBiasedOverlap, spearman } from "../statistics/overlap.ts";
import { percentileInterval } from "../statistics/percentile.ts";
import { rng } from "../statistics/rng.ts";

export type Agreement = Pick<MethodJudgement, "rank" | "overlap" | "sign" | "spearman" | "error">;

/** Of both: one array a sender, [items]. Throws RangeError where they are not of the same senders. */
export function agreement(
  exact: readonly Float64Array[],
  approximate: readonly Float64Array[],
  clusters: Clusters,
  { top, ...bootstrap }: BootstrapOptions & { readonly top: number },
): Agreement {
  if (exact.length !== approximate.length) {
    throw new RangeError(`${exact.length} exact effects, ${approximate.length} approximate ones`);
  }
  const k = Math.min(top, exact.length);
  const [truth, guess] = [clusterMeans(exact, clusters), clusterMeans(approximate, clusters)];
  const whole = new Uint16Array(clusters.count).fill(1);
  const [a, b] = [truth(whole), guess(whole)];
  const now = atTop(a, b, k);
  const draws = clusterDraws(clusters.count, { draws: 200, ...bootstrap });
  const drawn = Array.from({ length: draws.length / clusters.count }, (_, d) => {
    const counts = draws.subarray(d * clusters.count, (d + 1) * clusters.count);
    return atTop(truth(counts), guess(counts), k);
  });
  const agreed = (of: (one: Top) => number): Agreed => {
    const [low, high] = percentileInterval(drawn.map(of), bootstrap.level);
    return { mean: of(now), low, high };
  };
  const size = a.reduce((sum, x) => sum + Math.abs(x), 0);
  return {
    rank: agreed(({ rank }) => rank),
    overlap: { ...agreed(({ overlap }) => overlap), k, chance: k / exact.length },
    sign: agreed(({ sign }) => sign),
    spearman: spearman(a, b),
    error: a.reduce((sum, x, i) => sum + Math.abs(x - (b[i] as number)), 0) / size,
  };
}

/** Means over items, each cluster counting so often. Items without an effect (NaN) do not count. */
function clusterMeans(effects: readonly Float64Array[], clusters: Clusters) {
  const sums = effects.map((values) => {
    const sum = new Float64Array(clusters.count);
    const count = new Float64Array(clusters.count);
    values.forEach((value, item) => {
      if (Number.isNaN(value)) return;
      const cluster = clusters.of[item] as number;
      sum[cluster] = (sum[cluster] as number) + value;
      count[cluster] = (count[cluster] as number) + 1;
    });
    return { sum, count };
  });
  return (times: Uint16Array): Float64Array =>
    Float64Array.from(sums, ({ sum, count }) => {
      let [above, below] = [0, 0];
      times.forEach((time, cluster) => {
        above += time * (sum[cluster] as number);
        below += time * (count[cluster] as number);
      });
      return above / below;
    });
}

interface Top {
  readonly rank: number;
  readonly overlap: number;
  readonly sign: number;
}

/** Ranks beyond this weigh less than 1e-6 of the overlap. */
const deepest = 130;

function atTop(exact: Float64Array, approximate: Float64Array, k: number): Top {
  const [a, b] = [bySize(exact, 1), bySize(approximate, 2)];
  const first = a.slice(0, k);
  const chosen = new Set(b.slice(0, k));
  const share = (of: (sender: number) => boolean) => first.filter(of).length / k;
  return {
    rank: rankBiasedOverlap(a.slice(0, deepest), b.slice(0, deepest)),
    overlap: share((sender) => chosen.has(sender)),
    sign: share(
      (sender) => Math.sign(exact[sender] as number) === Math.sign(approximate[sender] as number),
    ),
  };
}

/**
 * Largest first. Equal sizes (effects that are exactly zero) stand in an order of chance, another one for
 * the exact and for the approximate side: they do not agree by their place in the model.
 */
function bySize(effects: Float64Array, seed: number): number[] {
  const random = rng(seed);
  const chance = Float64Array.from(effects, () => random.next());
  return Array.from(effects, (_, i) => i).sort(
    (i, j) =>
      Math.abs(effects[j] as number) - Math.abs(effects[i] as number) ||
      (chance[i] as number) - (chance[j] as number),
  );
}
