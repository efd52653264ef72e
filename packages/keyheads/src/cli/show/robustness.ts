import type { RobustnessResult } from "../../results.ts";
import { decimal, percent, table } from "../table.ts";

/** The base, one row a decision, then how often each head comes out. */
export function robustnessText({ items, effect, keyHeads, rows, heads }: RobustnessResult): string {
  return [
    `${items.used} items; base: path patching, ${effect}: ${keyHeads.join(", ")}\n\n`,
    table(
      ["decision", "value", "items", "Jaccard", "chance", "ranking", "key heads"],
      rows.map(({ dimension, value, items, jaccard, chance, rank, keyHeads, why }) => [
        dimension,
        value,
        String(items),
        decimal(jaccard ?? Number.NaN, 2),
        decimal(chance ?? Number.NaN, 2),
        decimal(rank ?? Number.NaN, 2),
        why === undefined ? keyHeads.join(", ") : `not possible: ${why.slice(0, 60)}`,
      ]),
    ),
    "\n",
    table(
      ["head", "rows", "share"],
      heads.map(({ head, rows, share }) => [head, String(rows), percent(share, 0)]),
    ),
  ].join("");
}
