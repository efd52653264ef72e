// One sample of a time with Benchmark.js, and the statistics of paired samples.
import Benchmark from "benchmark";
import { median } from "./peer.ts";

/** Seconds of a run or two of an asynchronous function; rounds take many of these, in turn. */
export async function sample(run: () => Promise<unknown>): Promise<number> {
  const benchmark = new Benchmark("sample", {
    defer: true,
    minSamples: 1,
    minTime: 0.001,
    maxTime: 0.001,
    fn: (deferred: { resolve(): void }) => void run().then(() => deferred.resolve()),
  });
  await new Promise((resolve) => benchmark.on("complete", resolve).run({ async: true }));
  if (benchmark.error) throw benchmark.error;
  return median(benchmark.stats.sample);
}

export interface Overhead {
  /** Percent of the base time. */
  readonly percent: number;
  /** 95 % interval of the mean over the rounds. */
  readonly interval: readonly [number, number];
}

/** How much longer `times` are than `base`, round by round. */
export function overhead(times: readonly number[], base: readonly number[]): Overhead {
  const percents = times.map((t, round) => 100 * (t / (base[round] as number) - 1));
  const n = percents.length;
  const mean = percents.reduce((sum, p) => sum + p, 0) / n;
  const variance = percents.reduce((sum, p) => sum + (p - mean) ** 2, 0) / (n - 1);
  const half = studentT(n - 1) * Math.sqrt(variance / n);
  return { percent: mean, interval: [mean - half, mean + half] };
}

/** The two-sided 95 % quantile, by its expansion around the normal one (Abramowitz, Stegun 26.7.5). */
function studentT(degrees: number): number {
  const z = 1.959964;
  const first = (z ** 3 + z) / 4;
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  const third = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384;
  return z + first / degrees + second / degrees ** 2 + third / degrees ** 3;
}
