/** Ways of tuning compared on one budget (`compare-tuning`). */
import type { EvalResult, Interval, TuningComparison } from "./results.ts";

/** Accuracy on one set of items; `paired` compares with the base, item by item. */
export interface ItemAccuracy {
  readonly name: string;
  readonly n: number;
  readonly accuracy: number;
  readonly ci: Interval;
  /** Mean log-probability of an answer, in nats. */
  readonly logprob: number;
  readonly paired: NonNullable<EvalResult["paired"]>;
}
/** What a model does: the base, or after one way of tuning. */
export interface TuningOutcome {
  readonly task: ItemAccuracy;
  /** Neighbouring tasks and controls. */
  readonly others: readonly ItemAccuracy[];
  /** Held-out text: loss, and KL(base || tuned), both in nats a token. */
  readonly text?: { readonly loss: number; readonly kl: number };
  /** Path patching again: total effect, the strongest heads now, and their Jaccard overlap with before. */
  readonly direct?: {
    readonly totalEffect: number;
    readonly top: readonly string[];
    readonly overlap: number;
    readonly heads: readonly (readonly number[])[];
  };
}
export interface ComparedTuning extends TuningOutcome {
  readonly name: string;
  readonly kind: "precise" | "full" | "lora" | "lora-heads" | "offsets" | "random" | "mlp";
  readonly title: string;
  /** Of those tried, the one with the lowest loss on the dev split; null where it was not finite. */
  readonly lr: number;
  readonly rates: readonly { readonly lr: number; readonly loss: number | null }[];
  readonly trainedParameters: number;
  readonly steps: number;
  readonly secondsPerStep: number;
  /** Of the engine, above the weights: gradients, moments, activations. */
  readonly peakBytes: number;
  readonly unselectedChanged: number;
}
export interface BudgetComparison {
  readonly steps: number;
  readonly itemsPerUpdate: number;
  readonly before: TuningOutcome;
  readonly methods: readonly ComparedTuning[];
  /** The answer at matched gain, where it was asked for. */
  readonly matched?: TuningComparison;
}
