/**
 * Discovery and evaluation never share a cluster: the split is a function of the cluster's name.
 * Shares are therefore met on average, not to the item.
 */
import { hash } from "./hash.ts";

export const splitNames = ["discover", "dev", "test"] as const;
export type Split = (typeof splitNames)[number];
export type SplitShares = Readonly<Record<Split, number>>;

export const defaultShares: SplitShares = { discover: 0.5, dev: 0.2, test: 0.3 };

/** The split of all items of a cluster. Shares must add to 1. */
export function splitOf(cluster: string, seed: number, shares = defaultShares): Split {
  const point = hash(seed, "split", cluster) / 2 ** 32;
  if (point < shares.discover) return "discover";
  return point < shares.discover + shares.dev ? "dev" : "test";
}
