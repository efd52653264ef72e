// Random numbers that are the same everywhere for the same seed: xoshiro128** 1.1 (Blackman and
// Vigna, https://prng.di.unimi.it), its state filled by splitmix32 from the 32-bit seed.
// Small and fast, with period 2^128 - 1; not for cryptography.

export interface Rng {
  /** A double in [0, 1) with 53 random bits. */
  next(): number;
  /** An integer in [0, n), without bias. n is at most 2^32. */
  int(n: number): number;
  /** A shuffled copy (Fisher-Yates, from the end). */
  shuffle<T>(array: readonly T[]): T[];
  /** k different elements, in random order. Throws RangeError if there are fewer. */
  sample<T>(array: readonly T[], k: number): T[];
}

/** A generator for an integer seed, of which the low 32 bits count. */
export function rng(seed: number): Rng {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed ${seed}: expected an integer`);
  const state = splitmix32(seed, 4);

  const bits = (): number => {
    const s1 = state[1] as number;
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    state[2] = (state[2] as number) ^ (state[0] as number);
    state[3] = (state[3] as number) ^ s1;
    state[1] = s1 ^ (state[2] as number);
    state[0] = (state[0] as number) ^ (state[3] as number);
    state[2] = (state[2] as number) ^ (s1 << 9);
    state[3] = rotate(state[3] as number, 11);
    return result;
  };
  const int = (n: number): number => {
    if (!(Number.isInteger(n) && n >= 1 && n <= 2 ** 32)) {
      throw new RangeError(`int(${n}): expected an integer from 1 to 2^32`);
    }
    const limit = 2 ** 32 - (2 ** 32 % n);
    let draw = bits();
    while (draw >= limit) draw = bits();
    return draw % n;
  };
  const sample = <T>(array: readonly T[], k: number): T[] => {
    if (!(Number.isInteger(k) && k >= 0 && k <= array.length)) {
      throw new RangeError(`sample: ${k} of ${array.length} elements`);
    }
    const pool = array.slice();
    for (let i = pool.length - 1; i >= pool.length - k && i > 0; --i) {
      const j = int(i + 1);
      [pool[i], pool[j]] = [pool[j] as T, pool[i] as T];
    }
    return pool.slice(pool.length - k);
  };
  return {
    next: () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53,
    int,
    shuffle: (array) => sample(array, array.length),
    sample,
  };
}

function rotate(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

function splitmix32(seed: number, count: number): Uint32Array {
  let x = seed >>> 0;
  return Uint32Array.from({ length: count }, () => {
    x = (x + 0x9e3779b9) >>> 0;
    let z = x ^ (x >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  });
}
