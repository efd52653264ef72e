import { KeyheadsError } from "../errors.ts";
import { groupBy } from "../statistics/group-by.ts";
import type { Item, ItemSet } from "./items.ts";

export const labels = ["group", "template", "split"] as const;
export type Label = (typeof labels)[number];

/** One set a value of a label, in order of appearance. Throws BAD_ITEMS where an item has none. */
export function byLabel(set: ItemSet, label: Label): ItemSet[] {
  const without = set.items.find((item) => item[label] === undefined);
  if (without) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${set.name}: item ${without.id} (line ${without.line}) has no ${label} to divide by`,
    );
  }
  const groups = groupBy(set.items, (item) => item[label] as string);
  return [...groups].map(([name, items]: [string, Item[]]) => ({ name, items, dropped: [] }));
}
