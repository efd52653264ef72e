import type { Interval } from "../results.ts";

/**
 * Wilson's score interval of a proportion; it stays inside [0, 1] and has width at 0 and at n.
 * `z` is the normal quantile: 1.96 for 95 %. NaN for n = 0.
 */
export function wilson(successes: number, n: number, z = 1.959963984540054): Interval {
  if (n === 0) return [Number.NaN, Number.NaN];
  const p = successes / n;
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  // At the ends the two terms are equal but for rounding.
  return [successes === 0 ? 0 : middle - half, successes === n ? 1 : middle + half];
}
