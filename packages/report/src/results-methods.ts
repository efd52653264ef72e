// Approximations judged against the exact answers that they stand for.
import type { Dropped, EffectName, ItemCounts } from "./results.ts";

export interface Agreed {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}
export interface MethodJudgement {
  readonly method: string;
  readonly seconds: number;
  /** Seconds of the exact answer, divided by these. */
  readonly speedup: number;
  /** Rank-biased overlap (p = 0.9) of the rankings by size of effect. */
  readonly rank: Agreed;
  /** Share of the exact top k that is in the approximation's, beside chance. */
  readonly overlap: Agreed & { readonly k: number; readonly chance: number };
  /** Share of the exact top k whose effects have the same sign. */
  readonly sign: Agreed;
  readonly spearman: number;
  /** Sum of |approximation - exact| over all senders, as a share of the sum of |exact|. */
  readonly error: number;
  /** Circuits of the approximation's first senders (or edges), the rest as on X_c (docs/method.md). */
  readonly circuit?: { readonly cpr: number; readonly cmd: number };
}
export interface EstimandJudgement {
  readonly estimand: "activation, END" | "activation, all positions" | "path patching" | "edges";
  /** Senders, or edges. */
  readonly of: number;
  readonly seconds: number;
  readonly circuit?: { readonly cpr: number; readonly cmd: number };
  readonly methods: readonly MethodJudgement[];
}
export interface CompareMethodsResult {
  readonly items: ItemCounts & { readonly dropped: readonly Dropped[] };
  readonly effect: EffectName;
  readonly estimands: readonly EstimandJudgement[];
  /** What was not computed, and why. */
  readonly skipped: readonly { readonly estimand: string; readonly why: string }[];
  readonly seconds: number;
}
