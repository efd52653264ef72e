/** Results of validation beyond single knock-outs: transfer between tasks. */
import type {
  AblationName,
  Dropped,
  EffectName,
  Interval,
  ItemCounts,
  RandomBand,
  RoleShare,
} from "./results.ts";

/** Key heads found on one set of items, removed on another. Matrices are [from][on]. */
export interface TransferResult {
  readonly sets: readonly TransferSet[];
  /** How discovery and evaluation were kept apart. */
  readonly split: "labels" | "clusters" | "none";
  readonly ablation: AblationName;
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

/** Is a set S of heads and MLPs, or of edges, the circuit of a task? m is a mean metric, M the whole model. */
export interface CircuitResult {
  /** nodes (heads and MLPs, the default) or edges, named as circuit files name them. */
  readonly level?: "nodes" | "edges";
  readonly items: ItemCounts;
  readonly components: readonly string[];
  /** How many components (or edges) S is a part of. */
  readonly of: number;
  readonly metric: EffectName;
  readonly ablation: AblationName;
  readonly positions: "end" | "all";
  readonly meanOver: string;
  readonly mlpsOutside: "kept" | "removed";
  /** m(M), m(S), and m with everything removed. */
  readonly full: number;
  readonly circuit: number;
  readonly empty: number;
  /** (m(S) - m(empty)) / (m(M) - m(empty)): ratio of means, with a cluster-bootstrap interval. */
  readonly faithfulness: RoleShare;
  readonly completeness?: CompletenessResult;
  readonly minimality?: MinimalityResult;
  /** By size along a ranking, where components have scores. */
  readonly sizes?: readonly SizeCurve[];
  /** Of the signed ranking. */
  readonly cpr?: number;
  /** Of the ranking by magnitude. */
  readonly cmd?: number;
  readonly seconds: number;
}
/** m(S without K) and m(M without K). */
export interface CompletenessPoint {
  readonly removed: readonly string[];
  readonly circuit: number;
  readonly model: number;
  readonly difference: number;
}
export interface CompletenessResult {
  /** Largest difference, and as a share of m(M) - m(empty). */
  readonly largest: number;
  readonly share: number;
  readonly worst: CompletenessPoint;
  readonly random: readonly CompletenessPoint[];
  readonly greedy: readonly CompletenessPoint[];
}
export interface MinimalityResult {
  readonly components: readonly {
    readonly component: string;
    /** Largest effect of removing it too, and what was removed from the circuit there. */
    readonly effect: number;
    readonly share: number;
    readonly without: readonly string[];
    /** Share of the random heads with at least this effect. */
    readonly atLeast: number;
  }[];
  readonly random: {
    readonly heads: readonly string[];
    readonly effects: readonly number[];
    /** 95th percentile. */
    readonly high: number;
  };
}
export interface SizeCurve {
  readonly ranking: "signed" | "absolute";
  readonly points: readonly {
    readonly share: number;
    readonly k: number;
    readonly faithfulness: number;
  }[];
  readonly cpr: number;
  readonly cmd: number;
}

/** Path patching where it must find nothing. */
export interface ControlsResult {
  readonly items: ItemCounts;
  /** X_c = X_r: the largest absolute effect and where. */
  readonly self: Found & { readonly largest: number; readonly at: string };
  /** Random weights; key heads by a max-T test. */
  readonly untrained: Found & {
    readonly seed: number;
    readonly alpha: number;
    readonly minimumShare: number;
    readonly accuracy: number;
    readonly totalEffect: number;
    readonly smallestP: number;
  };
  readonly pass: boolean;
  readonly seconds: number;
}
interface Found {
  readonly keyHeads: readonly string[];
  readonly keyMlps: readonly number[];
  /** Nothing was found. */
  readonly pass: boolean;
}

/** Key heads under other decisions, beside those of the base: path patching, own counterfactual. */
export interface RobustnessResult {
  readonly items: ItemCounts;
  /** Key heads a row. */
  readonly top: number;
  /** Of the base. */
  readonly effect: EffectName;
  readonly keyHeads: readonly string[];
  readonly rows: readonly RobustnessRow[];
  /** In how many rows, the base included, a head is a key head. */
  readonly heads: readonly {
    readonly head: string;
    readonly rows: number;
    readonly share: number;
  }[];
  readonly seconds: number;
}
export interface RobustnessRow {
  readonly dimension: "effect" | "method" | "ablation" | "counterfactual" | "template";
  readonly value: string;
  readonly items: number;
  readonly keyHeads: readonly string[];
  /** With the base: Jaccard index, its chance value, rank-biased overlap. */
  readonly jaccard?: number;
  readonly chance?: number;
  readonly rank?: number;
  /** Why there is nothing: these items do not allow it. */
  readonly why?: string;
}

/** Effects of edges: what `from` writes, as `to` reads it. */
export interface GraphResult {
  readonly method: string;
  readonly effect: EffectName;
  /** "embed", "3.1", "mlp 3"; to "4.0.q", "mlp 4", "logits". */
  readonly edges: readonly GraphEdge[];
  /** All that were measured. */
  readonly edgeCount: number;
  /** Of these edges alone, on items that they were not found on, all others as on X_c. */
  readonly faithfulness?: RoleShare;
}
export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly effect: number;
  readonly ci: Interval;
}
