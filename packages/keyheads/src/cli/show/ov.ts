import type { HeadCircuitsResult } from "../../results.ts";
import { decimal, percent, table } from "../table.ts";

/** One row a head and role. */
export function ovText({ items, tokens, heads }: HeadCircuitsResult): string {
  const rows = heads.flatMap(({ head, ovNorm, qkNorm, roles }) =>
    Object.entries(roles).map(([role, { score, copies, copyRank, toAnswer }], i) => [
      ...(i === 0 ? [head, decimal(ovNorm, 2), decimal(qkNorm, 2)] : ["", "", ""]),
      role,
      decimal(score.mean, 2),
      percent(copies.mean),
      decimal(copyRank, 1),
      decimal(toAnswer.mean),
    ]),
  );
  return [
    `${items.used} items; ranks are among ${tokens} tokens, so chance copies ${percent(1 / tokens)}\n\n`,
    table(["head", "|OV|", "|QK|", "role", "QK score", "copies", "rank", "to the answer"], rows),
  ].join("");
}
