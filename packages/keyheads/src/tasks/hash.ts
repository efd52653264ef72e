/**
 * Draws that depend on what they are for, not on the order in which they are made: an item is the
 * same whether it is built alone or among a million. FNV-1a with the finaliser of MurmurHash3.
 */

/** An integer in [0, 2^32). */
export function hash(seed: number, ...parts: readonly (number | string)[]): number {
  let h = mix(0x811c9dc5, seed);
  for (const part of parts) {
    if (typeof part === "number") {
      h = mix(h, part);
    } else {
      for (let i = 0; i < part.length; ++i) h = step(h, part.charCodeAt(i));
      h = step(h, 0xffff);
    }
  }
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** An integer in [0, n); for the small n used here the bias is below n / 2^32. */
export function hashBelow(n: number, seed: number, ...parts: readonly (number | string)[]): number {
  return Math.floor((hash(seed, ...parts) / 2 ** 32) * n);
}

function mix(h: number, value: number): number {
  for (let shift = 0; shift < 32; shift += 8) h = step(h, (value >>> shift) & 255);
  return h;
}

function step(h: number, value: number): number {
  return Math.imul(h ^ value, 0x01000193);
}
