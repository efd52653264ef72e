import type { AttendResult } from "../../results.ts";
import { percent, table } from "../table.ts";

/** One row a head: attention to every role, beside what heads of its layer give it on average. */
export function attendText({ items, heads }: AttendResult): string {
  const roles = [...new Set(heads.flatMap((head) => Object.keys(head.roles)))];
  const rows = heads.map((head) => [
    head.head,
    head.type,
    ...roles.map((role) => {
      const share = head.roles[role];
      const layer = head.positional[role];
      if (share === undefined) return "–";
      return layer === undefined
        ? percent(share.mean)
        : `${percent(share.mean)} (${percent(layer)})`;
    }),
  ]);
  return [
    `${items.used} items; attention of the last token, in brackets the mean of the layer's heads\n\n`,
    table(["head", "type", ...roles], rows),
  ].join("");
}
