// Do two analyses name the same heads? Overlap of sets beside what chance gives, and agreement of
// rankings that counts the top most, since the order of the many null heads is noise.

/** |a and b| / |a or b|; 1 for two empty sets. */
export function jaccard<T>(a: readonly T[], b: readonly T[]): number {
  const left = new Set(a);
  const right = new Set(b);
  const shared = [...left].filter((value) => right.has(value)).length;
  const all = left.size + right.size - shared;
  return all === 0 ? 1 : shared / all;
}

/** Expected Jaccard index of two random sets of sizes a and b out of n (hypergeometric). */
export function chanceJaccard(a: number, b: number, n: number): number {
  if (a + b === 0) return 1;
  let expected = 0;
  for (let shared = Math.max(0, a + b - n); shared <= Math.min(a, b); ++shared) {
    const log = logChoose(a, shared) + logChoose(n - a, b - shared) - logChoose(n, b);
    expected += Math.exp(log) * (shared / (a + b - shared));
  }
  return expected;
}

/**
 * Rank-biased overlap (Webber, Moffat and Zobel 2010), extrapolated, of two rankings of the same
 * things: 1 is the same order. Rank d weighs p^(d-1), so that p = 0.9 puts 86 % of the weight on
 * the first ten.
 */
export function rankBiasedOverlap<T>(a: readonly T[], b: readonly T[], p = 0.9): number {
  const depth = Math.min(a.length, b.length);
  if (depth === 0) return Number.NaN;
  const seenA = new Set<T>();
  const seenB = new Set<T>();
  let shared = 0;
  let missed = 0;
  for (let d = 1; d <= depth; ++d) {
    const nextA = a[d - 1] as T;
    const nextB = b[d - 1] as T;
    seenA.add(nextA);
    if (seenB.has(nextA)) shared += 1;
    if (nextA !== nextB && seenA.has(nextB)) shared += 1;
    if (nextA === nextB) shared += 1;
    seenB.add(nextB);
    missed += (1 - shared / d) * p ** (d - 1);
  }
  // The weights add up to 1; counting what is missed makes equal rankings exactly 1.
  return 1 - (1 - p) * missed - (1 - shared / depth) * p ** depth;
}

/** Spearman's rank correlation, ties sharing their mean rank. NaN if either side is constant. */
export function spearman(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`spearman of ${a.length} and ${b.length} values`);
  const x = ranks(a);
  const y = ranks(b);
  const middle = (a.length + 1) / 2;
  let xy = 0;
  let xx = 0;
  let yy = 0;
  x.forEach((rank, i) => {
    const dx = rank - middle;
    const dy = (y[i] as number) - middle;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  });
  return xy / Math.sqrt(xx * yy);
}

/** Ranks from 1, ties sharing their mean rank. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from(values, (_, i) => i).sort(
    (i, j) => (values[i] as number) - (values[j] as number),
  );
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let stop = start + 1;
    while (
      stop < order.length &&
      values[order[stop] as number] === values[order[start] as number]
    ) {
      stop += 1;
    }
    for (let i = start; i < stop; ++i) result[order[i] as number] = (start + 1 + stop) / 2;
    start = stop;
  }
  return result;
}

/** log of the binomial coefficient. */
export function logChoose(n: number, k: number): number {
  let log = 0;
  for (let i = 1; i <= Math.min(k, n - k); ++i) log += Math.log((n - i + 1) / i);
  return log;
}
