// The tokens that the stream is compared with: operands A and B, the answer C, and random other
// numbers as a baseline, since the rows of all numbers point the same way to some degree.
import type { Rng } from "../statistics/rng.ts";
import type { Item } from "../tasks/items.ts";
import type { Unembedding } from "./unembedding.ts";

/** Random rows per item. */
const baselineRows = 10;

/** Centred rows of A and B, where they are one token, and C. */
export function tokensOf(item: Item, unembedding: Unembedding) {
  const operand = (role: string) => {
    const token = operandToken(item, role);
    return token === undefined ? undefined : unembedding.row(token);
  };
  return {
    A: operand("operand1"),
    B: operand("operand2"),
    C: unembedding.row(item.answerId),
  };
}

/** The token of an operand that is a single token. */
function operandToken(item: Item, role: string): number | undefined {
  const [start, stop] = item.roles[role] ?? [0, 0];
  return stop - start === 1 ? item.reference[start] : undefined;
}

/**
 * Random other number rows: answers and operands of other items; of the whole vocabulary where the
 * set has too few different ones.
 */
export function baselineOf(
  items: readonly Item[],
  vocab: number,
  random: Rng,
): (item: Item) => number[] {
  const own = (item: Item) =>
    [item.answerId, operandToken(item, "operand1"), operandToken(item, "operand2")].filter(
      (token) => token !== undefined,
    );
  const numbers = [...new Set(items.flatMap(own))];
  const everything = Array.from({ length: vocab }, (_, token) => token);
  return (item) => {
    const mine = new Set(own(item));
    const others = (pool: readonly number[]) => pool.filter((token) => !mine.has(token));
    const pool = others(numbers);
    const enough = pool.length >= 3 ? pool : others(everything);
    return Array.from({ length: baselineRows }, () => enough[random.int(enough.length)] as number);
  };
}
