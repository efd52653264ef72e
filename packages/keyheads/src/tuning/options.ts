// What `tune` takes, its defaults, and what it says on the way.
import type { ModelSpec } from "@keyheads/native";
import type { AnsweredItem, AnswerSet } from "../evaluation/answers.ts";
import type { TuneResult } from "../results.ts";
import type { PieceChange } from "../save/isolation.ts";
import type { LoraOptions } from "./added.ts";
import type { PrefixBudget } from "./prefix-cache.ts";
import type { ScheduleOptions } from "./schedule.ts";
import type { Selection } from "./selection.ts";
import type { Validation } from "./validation.ts";

/** AdamW with decoupled weight decay, on the selected slices only. */
export interface OptimizerOptions {
  /** 2e-5 by default. */
  readonly lr?: number;
  /** 0.9 and 0.999 by default. */
  readonly betas?: readonly [number, number];
  /** 1e-8 by default. */
  readonly eps?: number;
  /** 0 by default. */
  readonly weightDecay?: number;
  /** Largest norm of all selected gradients together; 1 by default, 0 is no clipping. */
  readonly clip?: number;
  /**
   * heads: gradients times all heads / selected heads, as the paper does. Adam divides it out again
   * but for eps and clipping. none by default.
   */
  readonly gradientScale?: "none" | "heads";
}

export interface TuneOptions extends OptimizerOptions, ScheduleOptions {
  /** What to train, or a function that says so for a model. */
  readonly select: Selection | ((spec: ModelSpec) => Selection);
  /** Items, or a packed set; the loss is taken on their answer tokens only. */
  readonly train: readonly AnsweredItem[] | AnswerSet;
  /**
   * precise: the selected heads and MLPs. random: as many random heads of the same layers (drawn
   * with `seed`), and the selected MLPs. full: everything; `select` is not looked at. lora: low-rank
   * factors on the selected matrices and heads; attention of every layer where nothing is selected.
   * offsets: a vector for each selected head, added to its z (LoFiT). By default full if
   * `select.everything`, else precise.
   */
  readonly method?: TuneResult["method"];
  /** Of method lora. */
  readonly lora?: LoraOptions;
  /** Passes over the items; 1 by default. Not together with `steps`. */
  readonly epochs?: number;
  /** Updates. */
  readonly steps?: number;
  /** Items that run at once; 16 by default. */
  readonly batch?: number;
  /** Batches of one update; 1 by default. */
  readonly accumulate?: number;
  /**
   * Keep the residual stream that enters the lowest trained layer, within this budget, instead of
   * computing it in every epoch. On by default (1 GiB of memory, nothing on disk); false is off.
   */
  readonly prefixCache?: PrefixBudget | false;
  /**
   * Compute blocks again in the backward pass instead of keeping what they computed: less memory,
   * more time, the same bits. auto (the default): if the model has a memory budget that the largest
   * batch would exceed otherwise.
   */
  readonly recompute?: boolean | "auto";
  /** Of the order of the items and of random heads; 0 by default. */
  readonly seed?: number;
  /** `validation` is evaluated and `evaluate` called after every so many updates; 1 by default. */
  readonly evaluateEvery?: number;
  /** Items that are not trained on: their loss and accuracy go into events and metrics. */
  readonly validation?: readonly AnsweredItem[] | AnswerSet;
  /**
   * Early stopping: the run ends when so many evaluations brought no lower validation loss, and
   * the weights of the best one are kept.
   */
  readonly patience?: number;
  /** Its result goes into the event; "stop" ends the training. */
  readonly evaluate?: (step: number) => Promise<unknown>;
  /** Aborting finishes the update, saves a checkpoint and rejects with CANCELLED. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TuneEvent) => void;
  /** Where `checkpoint.safetensors` and metrics are kept; without it nothing is saved. */
  readonly checkpointDir?: string;
  /** Updates between checkpoints; by default only at the end and when aborted. */
  readonly checkpointEvery?: number;
  /** Also a checkpoint when the last is so many seconds old. */
  readonly checkpointSeconds?: number;
  /** Continue from the checkpoint in `checkpointDir`, which must be there and fit. */
  readonly resume?: boolean;
}

export type TuneEvent =
  | {
      readonly type: "start";
      /** The first update to come, from 0; more than 0 after a resume. */
      readonly step: number;
      readonly steps: number;
      readonly items: number;
      readonly trainedParameters: number;
      readonly heads: readonly string[];
      readonly mlps: readonly number[];
      /** Unselected heads that change with a selected key/value group. */
      readonly sharedHeads: readonly string[];
    }
  | {
      readonly type: "step";
      /** Updates done, from 1. */
      readonly step: number;
      readonly steps: number;
      /** Mean over the answer tokens of the update's items, before it, in nats. */
      readonly loss: number;
      readonly lr: number;
      readonly gradientNorm: number;
      /** Tokens that the update read, and how long it took. */
      readonly tokens: number;
      readonly seconds: number;
    }
  | { readonly type: "validation"; readonly result: Validation }
  | { readonly type: "evaluate"; readonly step: number; readonly result: unknown }
  | { readonly type: "checkpoint"; readonly step: number; readonly path: string }
  | {
      /** After the last update: every piece of every weight, hashed before and after. */
      readonly type: "isolation";
      readonly pieces: readonly PieceChange[];
    };
