/** Results of validation beyond single knock-outs: transfer between tasks. */
import type { Dropped, RandomBand } from "./results.ts";

/** Key heads found on one set of items, removed on another. Matrices are [from][on]. */
export interface TransferResult {
  readonly sets: readonly TransferSet[];
  /** How discovery and evaluation were kept apart. */
  readonly split: "labels" | "clusters" | "none";
  readonly ablation: "mean" | "zero" | "resample";
  readonly positions: "end" | "all";
  /** Overlap of key heads, beside what random sets of these sizes would have. */
  readonly jaccard: readonly (readonly number[])[];
  readonly chance: readonly (readonly number[])[];
  /** Rank-biased overlap (p = 0.9) of all heads, most harmful first. */
  readonly rank: readonly (readonly number[])[];
  /** Accuracy of set `on` without the key heads of set `from`. */
  readonly accuracy: readonly (readonly number[])[];
  /** Accuracy without random sets of as many heads; null where nothing was drawn or removed. */
  readonly random: readonly (readonly (RandomBand | null)[])[];
  readonly seconds: number;
}
export interface TransferSet {
  readonly name: string;
  readonly dropped: readonly Dropped[];
  /** Items that attribution used, and items that knock-outs were measured on. */
  readonly discovery: number;
  readonly evaluation: number;
  readonly keyHeads: readonly string[];
  /** Of the evaluation items, with nothing removed. */
  readonly baseline: number;
}
