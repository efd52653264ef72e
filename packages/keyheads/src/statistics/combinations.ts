/** Number of k-element subsets of n things, exact up to 2^53. */
export function choose(n: number, k: number): number {
  if (k < 0 || k > n) return 0;
  let count = 1;
  for (let i = 1; i <= Math.min(k, n - k); ++i) count = (count * (n - i + 1)) / i;
  return Math.round(count);
}

/** All k-element subsets in lexicographic order of positions. */
export function combinations<T>(things: readonly T[], k: number): T[][] {
  const found: T[][] = [];
  const extend = (chosen: T[], from: number): void => {
    if (chosen.length === k) {
      found.push(chosen);
      return;
    }
    for (let i = from; i <= things.length - (k - chosen.length); ++i) {
      extend([...chosen, things[i] as T], i + 1);
    }
  };
  extend([], 0);
  return found;
}
