import type { HeadRef } from "../attribution/component.ts";
import type { CallOptions } from "../model.ts";
import type { AblationName } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import type { MetricName } from "./meter.ts";
import type { Scored } from "./size-curve.ts";

export type Ablation = AblationName;
/** How fine a mean is: see docs/method.md. */
export type Alignment = "template" | "role" | "offset" | "none";
export type Items = ItemSet | readonly Item[];

export interface AblationOptions extends CallOptions {
  /**
   * mean (default): the mean over `meanOver`; resample: the value on another prompt of it;
   * counterfactual: the value on the item's own X_c.
   */
  readonly ablation?: Ablation;
  /** end: only at the position that predicts the answer token; all (default): at every position. */
  readonly positions?: "end" | "all";
  /** Prompts that means and resamples are taken over; by default the evaluated items themselves. */
  readonly meanOver?: Items;
  /** The same for the control; by default the control items themselves. */
  readonly controlMeanOver?: Items;
  /** By default the finest at which every group has two prompts or more; the result says which. */
  readonly align?: Alignment;
  /** all (default): right means that every answer token is; target: only the measured one counts. */
  readonly answer?: "all" | "target";
  readonly control?: Items;
  readonly seed?: number;
  /** Answer tokens per native call; by default so many that a call's arrays stay small. */
  readonly batch?: number;
}

export interface KnockOutOptions extends AblationOptions {
  /** Removed one after the other in this order, then the MLPs. */
  readonly heads?: readonly HeadRef[];
  readonly mlps?: readonly number[];
  /** Random sets per size; 200. Where there are no more sets than that, all of them. 0: no band. */
  readonly random?: number;
  /** Random heads come from the same layers as those they stand for. */
  readonly layerMatched?: boolean;
}

export interface SubsetsOptions extends AblationOptions {
  /** Largest set; 3. */
  readonly size?: number;
  /** The heads that sets are made of; all by default. */
  readonly heads?: readonly HeadRef[];
}

export interface CircuitOptions
  extends Omit<AblationOptions, "control" | "controlMeanOver" | "answer"> {
  readonly heads?: readonly HeadRef[];
  readonly mlps?: readonly number[];
  /** Kept by default where the circuit names no MLP, removed where it does. */
  readonly mlpsOutside?: "kept" | "removed";
  /** Default: logit-difference where every item has a counterfactual answer, else logprob. */
  readonly metric?: MetricName;
  /** Parts K of the circuit that are tried, all where there are no more; 32. 0: no such search. */
  readonly subsets?: number;
  /** Random heads that minimality is held against, all where there are no more; 40. */
  readonly random?: number;
  /** Bootstrap draws of the interval; 1000. */
  readonly draws?: number;
  /** Of components; positive helps the answer. Curves over size follow them. */
  readonly scores?: readonly Scored[];
}

export interface EdgeCircuitOptions
  extends CallOptions,
    Pick<CircuitOptions, "metric" | "subsets" | "random" | "draws" | "seed"> {
  /** By the names of circuit files: input->a0.h1<q>, a0.h1->m2, m2->logits. */
  readonly edges: readonly string[];
  /** Of all edges; positive helps the answer. Curves over size follow them. */
  readonly scores?: readonly Scored<string>[];
}
