import type { Interval } from "../results.ts";

/** Quantile q in [0, 1] of ascending values, interpolated linearly (Hyndman and Fan's type 7). */
export function quantile(ascending: ArrayLike<number>, q: number): number {
  if (ascending.length === 0) return Number.NaN;
  const at = q * (ascending.length - 1);
  const below = ascending[Math.floor(at)] as number;
  const above = ascending[Math.ceil(at)] as number;
  return below + (above - below) * (at - Math.floor(at));
}

/** The central interval that holds `level` of the values, in any order. */
export function percentileInterval(values: ArrayLike<number>, level = 0.95): Interval {
  const sorted = Float64Array.from(values).sort();
  return [quantile(sorted, (1 - level) / 2), quantile(sorted, (1 + level) / 2)];
}
