import type { CallOptions } from "../model.ts";
import type { EffectName } from "../results.ts";
import type { Receiver } from "./paths/receivers.ts";

export const patchingMethods = ["exact", "naive", "activation"] as const;
export type PatchingMethod = (typeof patchingMethods)[number];
export const approximateMethods = [
  "atp",
  "atp-star",
  "eap",
  "eap-ig",
  "relp",
  "direct-gradient",
] as const;
export type ApproximateMethod = (typeof approximateMethods)[number];
export type Method = PatchingMethod | ApproximateMethod;
/** What eap-ig leads from X_r to X_c. */
export type Interpolation = "inputs" | "activations";
export type MlpPath = "recompute" | "freeze";
export type Positions = "end" | "all";
export type SenderKind = "heads" | "mlps";

/** Which heads count as key heads. The threshold is a relative logit, whatever effect is shown. */
export interface KeyOptions {
  /** The k heads that harm the answer most. */
  readonly top?: number;
  /** Heads (and MLPs) whose mean relative change of the answer's logit is below this; -0.05. */
  readonly threshold?: number;
  /** Max-T sign-flip test over all senders, together with a minimum share of the total effect. */
  readonly significance?: { readonly alpha: number; readonly minimumShare: number };
}

export interface IdentifyOptions extends CallOptions, KeyOptions {
  /**
   * exact: path patching, sender to logits at END, by the END-row chain (default).
   * naive: the same by one hooked full forward per sender; slow, defines `exact`.
   * activation: everything downstream of the sender is recomputed.
   * Approximations by gradients: atp, atp-star and relp of `activation`, direct-gradient of `exact`,
   * eap and eap-ig of edges, of which a sender's effect is the sum (docs/method.md).
   */
  readonly method?: Method;
  /**
   * Where the sender is replaced; "all" needs pairs of equal length, and is not for path patching
   * and direct-gradient. END by default, all positions with eap and eap-ig.
   */
  readonly positions?: Positions;
  /** Default: logit-difference where every item has a counterfactual answer, else logprob. */
  readonly effect?: EffectName;
  /** Path patching and direct-gradient only. */
  readonly mlpPath?: MlpPath;
  /**
   * Of `exact` and `naive`: where paths end instead of in the logits. Senders and receivers are
   * replaced at `positions`: END, or everywhere where a key or a value is among the receivers.
   */
  readonly receivers?: readonly Receiver[];
  /**
   * With grouped queries, k and v receivers are whole groups. By default a receiver is the copy of its
   * group's keys or values that one query head reads.
   */
  readonly wholeGroups?: boolean;
  /** Both by default. What is not asked for is NaN in the result (null in JSON). */
  readonly senders?: readonly SenderKind[];
  /**
   * own: the item's counterfactual (default). random-other: another prompt of the set with another
   * answer. self: X_r itself, the negative control: every effect must be zero.
   */
  readonly counterfactual?: "own" | "random-other" | "self";
  /** Leave out pairs whose X_r the model answers wrongly; off by default. */
  readonly onlyCorrect?: boolean;
  /** Leave out, and count, pairs whose X_c still yields C; on by default except for `self`. */
  readonly excludeUnchanged?: boolean;
  /**
   * Denominators nearer to zero than this are not divided by: the item is left out of that mean
   * (relative-logit; default 0.01 logits) or the probability is clamped to it (ie; 1e-9).
   */
  readonly guard?: { readonly logit?: number; readonly probability?: number };
  /** Of eap-ig: over how many points gradients are averaged; 5. */
  readonly steps?: number;
  /** Of eap-ig: inputs (default) or activations. */
  readonly interpolate?: Interpolation;
  /** Of atp and atp-star: effects of queries, keys and values too; on by default with atp-star. */
  readonly parts?: boolean;
  /** Of eap and eap-ig: how many edges to report, strongest first; 100. */
  readonly edges?: number;
  /** Family-wise p-values of all senders (max-T), by whatever rule key heads are named. */
  readonly pValues?: boolean;
  /** Bootstrap draws of the intervals; 1000. */
  readonly draws?: number;
  readonly seed?: number;
  /** Items per native call; by default so many that a call's arrays stay small. */
  readonly batch?: number;
}
