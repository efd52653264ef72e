/**
 * Counterfactual pairs of a sum. The minimal ones redraw one column, uniformly among the digit
 * pairs with the wanted carry, so that X_r and X_c differ in nothing but what is asked about.
 */
import type { DigitCounterfactual } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { digitOf, firstOf, secondOf } from "./digit-pairs.ts";
import { hash } from "./hash.ts";

/** Digit of a + b, counted from the left of the four answer digits. */
export const answerDigit = (pair: number, digit: number): number =>
  digitOf(firstOf(pair) + secondOf(pair), 3 - digit);

const digitPairs = Array.from({ length: 100 }, (_, i) => [Math.floor(i / 10), i % 10] as const);

/**
 * The counterfactual of a pair. `others` is what `other-prompt` draws from: a pair whose measured
 * answer digit differs. Throws BAD_ARGUMENT where there is none, or where the carry of a column
 * that sums to nine would have to flip by itself.
 */
export function counterfactualPair(
  pair: number,
  kind: DigitCounterfactual,
  digit: number,
  seed: number,
  others: Int32Array,
): number {
  if (kind === "other-prompt") return otherPrompt(pair, digit, seed, others);
  const column = kind === "flip-tens-carry" ? 1 : 0;
  const sum = digitOf(firstOf(pair), column) + digitOf(secondOf(pair), column);
  if (column === 1 && sum === 9) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `flip-tens-carry: the tens digits of ${show(pair)} sum to 9 and have no carry of their own`,
    );
  }
  const choices = choicesOf(kind, sum);
  const [x, y] = draw(choices, seed, kind, pair);
  const place = 10 ** column;
  const a = firstOf(pair) + (x - digitOf(firstOf(pair), column)) * place;
  const b = secondOf(pair) + (y - digitOf(secondOf(pair), column)) * place;
  return a * 1000 + b;
}

const cache = new Map<string, readonly (readonly [number, number])[]>();

/** Digit pairs that may stand in for a column whose digits add to `sum`. */
function choicesOf(kind: DigitCounterfactual, sum: number) {
  const carry = sum >= 10;
  const key = kind === "redraw-ones" ? `${kind} ${sum}` : `${kind} ${carry}`;
  const known = cache.get(key);
  if (known) return known;
  const choices = digitPairs.filter(([x, y]) => {
    if (kind === "redraw-ones") return x + y >= 10 === carry && x + y !== sum;
    return x + y >= 10 !== carry && !(kind === "flip-tens-carry" && x + y === 9);
  });
  cache.set(key, choices);
  return choices;
}

const attempts = 200;

function otherPrompt(pair: number, digit: number, seed: number, others: Int32Array): number {
  const differs = (other: number) => answerDigit(other, digit) !== answerDigit(pair, digit);
  for (let attempt = 0; attempt < attempts && others.length > 0; ++attempt) {
    const index = Math.floor((hash(seed, "other-prompt", pair, attempt) / 2 ** 32) * others.length);
    const other = others[index] as number;
    if (differs(other)) return other;
  }
  const left = others.filter(differs);
  if (left.length > 0) return draw(left, seed, "other-prompt", pair);
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `other-prompt: all ${others.length} prompts have the same answer digit as ${show(pair)}; ` +
      "take more items",
  );
}

function draw<T>(choices: ArrayLike<T>, seed: number, kind: string, pair: number): T {
  return choices[Math.floor((hash(seed, kind, pair) / 2 ** 32) * choices.length)] as T;
}

const show = (pair: number) => `${firstOf(pair)} + ${secondOf(pair)}`;
