// Discovery and evaluation never share a cluster: heads chosen on a fact and tested on the same fact
// would be tested on what they were chosen by.
import { clusterOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import { hash } from "../tasks/hash.ts";
import type { Item, ItemSet } from "../tasks/items.ts";

export interface Halves {
  readonly name: string;
  readonly discovery: Item[];
  readonly evaluation: Item[];
}

export interface Division {
  /** labels: the items' own `split`; clusters: by a hash of the cluster; none: not asked for. */
  readonly by: "labels" | "clusters" | "none";
  readonly sets: readonly Halves[];
}

const discovery = "discover";
const evaluation = "test";

/**
 * Divides every set: by the items' `split` ("discover" and "test") where every set has both, else
 * half and half by cluster. A cluster is on one side over all sets. Throws BAD_ITEMS where labels
 * put a cluster on both sides, and where a side has fewer than two items.
 */
export function divide(sets: readonly ItemSet[], seed: number): Division {
  const labelled = sets.every(({ items }) =>
    [discovery, evaluation].every((name) => items.some(({ split }) => split === name)),
  );
  const side = (item: Item) => {
    if (labelled) return item.split;
    return hash(seed, "half", clusterOf(item)) < 2 ** 31 ? discovery : evaluation;
  };
  const halves = sets.map(({ name, items }) => ({
    name,
    discovery: items.filter((item) => side(item) === discovery),
    evaluation: items.filter((item) => side(item) === evaluation),
  }));
  for (const { name, ...sides } of halves) {
    for (const [part, items] of Object.entries(sides)) {
      if (items.length < 2) throw tooFew(name, part, items.length);
    }
  }
  checkDisjoint(halves);
  return { by: labelled ? "labels" : "clusters", sets: halves };
}

/** Throws BAD_ITEMS, naming the first cluster that is on both sides. */
export function checkDisjoint(halves: readonly Omit<Halves, "name">[]): void {
  const known = new Set(halves.flatMap((half) => half.discovery.map(clusterOf)));
  const shared = halves
    .flatMap((half) => half.evaluation)
    .find((item) => known.has(clusterOf(item)));
  if (!shared) return;
  throw new KeyheadsError(
    "BAD_ITEMS",
    `the cluster "${clusterOf(shared)}" (item ${shared.id}) is in discovery and evaluation; ` +
      "split whole clusters, so that heads are not tested on what they were chosen by",
  );
}

/** The items of one split; throws BAD_ITEMS where there are none or a cluster has other splits too. */
export function ofSplit(set: ItemSet, split: string): ItemSet {
  const items = set.items.filter((item) => item.split === split);
  const names = [...new Set(set.items.map((item) => item.split ?? "none"))].join(", ");
  if (items.length === 0) {
    throw new KeyheadsError("BAD_ITEMS", `${set.name}: no item has the split ${split}: ${names}`);
  }
  const others = set.items.filter((item) => item.split !== split);
  checkDisjoint([{ discovery: others, evaluation: items }]);
  return { ...set, items };
}

function tooFew(name: string, part: string, count: number): KeyheadsError {
  return new KeyheadsError(
    "BAD_ITEMS",
    `${name}: ${count} items for ${part} after splitting by cluster; give more items, mark them ` +
      `with split "${discovery}" and "${evaluation}", or use the same items for both`,
  );
}
