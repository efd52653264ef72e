// X_r and X_c of every item. What X_c is decides what an effect means: the item's own
// counterfactual asks about the one thing it changes, another prompt of the set about everything.
import { KeyheadsError } from "../errors.ts";
import { groupBy } from "../statistics/group-by.ts";
import { type Rng, rng } from "../statistics/rng.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import type { IdentifyOptions, Positions } from "./options.ts";

export interface Pair {
  readonly item: Item;
  readonly reference: readonly number[];
  readonly counterfactual: readonly number[];
  /** Token id of C. */
  readonly answer: number;
  /** Token id of C', the answer of X_c. */
  readonly counterfactualAnswer: number | undefined;
  readonly cluster: string;
}

export function itemsOf(items: ItemSet | readonly Item[]): readonly Item[] {
  return "items" in items ? items.items : items;
}

export function droppedOf(items: ItemSet | readonly Item[]): ItemSet["dropped"] {
  return "items" in items ? items.dropped : [];
}

/** The unit that intervals resample: the item's cluster, or the item itself. */
export function clusterOf(item: Item): string {
  return item.cluster ?? item.id;
}

/** The clusters that items name, without those that stand for single items. */
export function labelledClusters(items: readonly Item[]): string[] {
  const names = items.flatMap(({ cluster }) => (cluster === undefined ? [] : [cluster]));
  return [...new Set(names)].sort();
}

/** How an error calls an item. */
export function itemName(item: Item): string {
  return `item ${item.id} (line ${item.line})`;
}

/**
 * Pairs every item with its counterfactual run. Throws BAD_ITEMS, naming the item, where there is
 * none, or where `positions` is "all" and the lengths differ.
 */
export function makePairs(
  items: readonly Item[],
  kind: NonNullable<IdentifyOptions["counterfactual"]>,
  positions: Positions,
  seed: number,
): Pair[] {
  if (items.length === 0) throw new KeyheadsError("BAD_ITEMS", "there are no items to patch");
  const random = rng(seed);
  const other = kind === "random-other" ? partners(items, positions, random) : undefined;
  return items.map((item) => {
    const partner = other?.(item);
    const counterfactual = {
      own: item.counterfactual,
      self: item.reference,
      "random-other": partner?.reference,
    }[kind];
    if (counterfactual === undefined) throw missing(item);
    if (positions === "all" && counterfactual.length !== item.reference.length) {
      throw new KeyheadsError(
        "BAD_ITEMS",
        `${itemName(item)}: the prompt has ${item.reference.length} tokens, its counterfactual ${counterfactual.length}; ` +
          'patching all positions needs equal lengths (use positions "end", or write a counterfactual of the same length)',
      );
    }
    return {
      item,
      reference: item.reference,
      counterfactual,
      answer: item.answerId,
      counterfactualAnswer: partner ? partner.answerId : item.counterfactualAnswerId,
      cluster: clusterOf(item),
    };
  });
}

function missing(item: Item): KeyheadsError {
  return new KeyheadsError(
    "BAD_ITEMS",
    `${itemName(item)} has no counterfactual; write one, or ask for another prompt of the set (counterfactual "random-other")`,
  );
}

/** Draws another item with another answer, of the same length where all positions are patched. */
function partners(items: readonly Item[], positions: Positions, random: Rng): (item: Item) => Item {
  const byLength = groupBy(items, (item) => item.reference.length);
  return (item) => {
    const pool = positions === "all" ? (byLength.get(item.reference.length) ?? []) : items;
    for (let attempt = 0; attempt < 100; ++attempt) {
      const candidate = pool[random.int(pool.length)] as Item;
      if (candidate.answerId !== item.answerId) return candidate;
    }
    const different = pool.filter((candidate) => candidate.answerId !== item.answerId);
    if (different.length > 0) return different[random.int(different.length)] as Item;
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${itemName(item)}: no other prompt${positions === "all" ? " of the same length" : ""} has another answer, so none can be its counterfactual`,
    );
  };
}
