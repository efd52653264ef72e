/** A small deterministic generator (mulberry32), so that sample reports never change by themselves. */
export interface Random {
  next(): number;
  between(low: number, high: number): number;
  int(n: number): number;
  /** Sum of uniforms: near enough to a normal number for made-up data. */
  normal(): number;
}

export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    int: (n) => Math.floor(next() * n),
    normal: () => next() + next() + next() + next() - 2,
  };
}
