/**
 * Pairs of three-digit numbers as one integer, a * 1000 + b, so that a class of 900,000 pairs is
 * one typed array. Digits are counted as columns: 0 ones, 1 tens, 2 hundreds.
 */
import type { ColumnRule, DigitClass } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { rng } from "../statistics/rng.ts";
import { type Split, type SplitShares, splitNames, splitOf } from "./splits.ts";

const tenTo = [1, 10, 100, 1000];

/** Digit of a number by column. */
export function digitOf(value: number, column: number): number {
  return Math.floor(value / (tenTo[column] as number)) % 10;
}

export const firstOf = (pair: number): number => Math.floor(pair / 1000);
export const secondOf = (pair: number): number => pair % 1000;

/** All pairs of a class, ascending. */
export function classPairs(rules: Pick<DigitClass, "hundreds" | "tens">): Int32Array {
  const pairs = new Int32Array(1_000_000);
  let n = 0;
  for (let a = 0; a < 1000; ++a) {
    for (let b = 0; b < 1000; ++b) {
      if (fits(rules.hundreds, a, b, 2) && fits(rules.tens, a, b, 1)) pairs[n++] = a * 1000 + b;
    }
  }
  return pairs.slice(0, n);
}

function fits(rule: ColumnRule | undefined, a: number, b: number, column: number): boolean {
  return (
    rule === undefined || (digitOf(a, column) + digitOf(b, column) === 9) === (rule === "nine")
  );
}

/** Whether a pair is in a class. */
export function inClass(pair: number, rules: Pick<DigitClass, "hundreds" | "tens">): boolean {
  const a = firstOf(pair);
  const b = secondOf(pair);
  return fits(rules.hundreds, a, b, 2) && fits(rules.tens, a, b, 1);
}

/** The unordered pair of the last two digits of both numbers: "07+45". */
export function pairCluster(pair: number): string {
  const a = firstOf(pair) % 100;
  const b = secondOf(pair) % 100;
  return [Math.min(a, b), Math.max(a, b)].map((x) => String(x).padStart(2, "0")).join("+");
}

/** Split of every pair, by cluster; the table is made once a seed. */
export class PairSplits {
  readonly #table = new Uint8Array(10_000);

  constructor(shares: SplitShares, seed: number) {
    for (let a = 0; a < 100; ++a) {
      for (let b = 0; b < 100; ++b) {
        const split = splitOf(pairCluster(a * 1000 + b), seed, shares);
        this.#table[a * 100 + b] = splitNames.indexOf(split);
      }
    }
  }

  of(pair: number): Split {
    const index = (firstOf(pair) % 100) * 100 + (secondOf(pair) % 100);
    return splitNames[this.#table[index] as number] as Split;
  }

  only(pairs: Int32Array, split: Split): Int32Array {
    return pairs.filter((pair) => this.of(pair) === split);
  }
}

/** A uniform sample without repeats, in random order. Throws where there are fewer pairs. */
export function samplePairs(pairs: Int32Array, count: number, seed: number): Int32Array {
  if (!(Number.isInteger(count) && count >= 1 && count <= pairs.length)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `cannot draw ${count} different pairs: there are ${pairs.length}`,
    );
  }
  const pool = pairs.slice();
  const random = rng(seed);
  for (let i = 0; i < count; ++i) {
    const j = i + random.int(pool.length - i);
    [pool[i], pool[j]] = [pool[j] as number, pool[i] as number];
  }
  return pool.slice(0, count);
}
