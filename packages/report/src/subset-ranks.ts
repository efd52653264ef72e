/** Where the chosen heads stand among all sets of the same size. */
import type { SubsetResult } from "./results.ts";
import { isNumber } from "./text/numbers.ts";

export interface SizeGroup {
  readonly size: number;
  /** Drops of all sets of this size, as shares, largest first. */
  readonly drops: readonly { readonly heads: readonly string[]; readonly drop: number }[];
  /** The first `size` of the chosen heads. */
  readonly key:
    | { readonly heads: readonly string[]; readonly drop: number; readonly rank: number }
    | undefined;
}

/** Fall on the task minus fall on the control; without a control, the fall on the task. */
function dropOf(result: SubsetResult, set: SubsetResult["sets"][number]): number | undefined {
  if (isNumber(set.specificDrop)) return set.specificDrop;
  const drop = result.baseline.accuracy - set.accuracy;
  return isNumber(drop) ? drop : undefined;
}

export function hasControl(result: SubsetResult): boolean {
  return result.sets.some((set) => isNumber(set.specificDrop));
}

const same = (a: readonly string[], b: readonly string[]) =>
  a.length === b.length && a.every((head) => b.includes(head));

export function sizeGroups(result: SubsetResult, chosen: readonly string[]): SizeGroup[] {
  const bySize = new Map<number, { heads: readonly string[]; drop: number }[]>();
  for (const set of result.sets) {
    const drop = dropOf(result, set);
    if (drop === undefined || set.heads.length === 0) continue;
    const group = bySize.get(set.heads.length) ?? [];
    group.push({ heads: set.heads, drop });
    bySize.set(set.heads.length, group);
  }
  return [...bySize]
    .sort(([a], [b]) => a - b)
    .map(([size, sets]) => {
      const drops = sets.sort((a, b) => b.drop - a.drop);
      const wanted = chosen.slice(0, size);
      const at = wanted.length === size ? drops.findIndex((s) => same(s.heads, wanted)) : -1;
      const found = drops[at];
      // Equal drops share the better rank.
      const rank = found ? drops.findIndex((s) => s.drop === found.drop) + 1 : 0;
      return { size, drops, key: found ? { ...found, rank } : undefined };
    });
}
