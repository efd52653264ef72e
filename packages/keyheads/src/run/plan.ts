// What a run asks of a model, before anything is computed: questions with items of disjoint splits,
// the classes that every state of the model is evaluated on, and what tuning learns from.
import type { MissingCard } from "@keyheads/models";
import { type AnswerSet, answersOf } from "../evaluation/answers.ts";
import type { RunResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";

export interface RunQuestion {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** What attribution sees. */
  readonly discover: ItemSet;
  /** What knock-outs, attention and the lens are shown on; no cluster is in both. */
  readonly test: ItemSet;
  /** Attribution again with an unrelated prompt as X_c; undefined: pairs of the set itself. */
  readonly unrelated?: ItemSet;
  readonly control?: { readonly title: string; readonly test: ItemSet };
  /** What a knock-out scores: the whole answer (default), or only the token measured at END. */
  readonly scored?: "all" | "target";
}

/** One row of the before/after table. */
export interface EvaluationClass {
  readonly name: string;
  readonly title: string;
  readonly set: AnswerSet;
  /** Every item of the class in the test split, or of the whole population, is in `set`. */
  readonly exhaustive: boolean;
  /** Items of the population that the class stands for; by default those in `set`. */
  readonly weight?: number;
  /** The first `count` items are only part of a larger set, which is a row of its own. */
  readonly first?: { readonly count: number; readonly name: string; readonly title: string };
}

export interface TuningPlan {
  /** Name of the class that is to improve. */
  readonly target: string;
  /** Points to gain: so many (8), or three quarters of what is left to gain where that is less. */
  readonly points?: number;
  /** Tried for every method; by default those that suit small corrections. */
  readonly learningRates?: readonly number[];
  /** Target items of an update; 64. */
  readonly batch?: number;
  readonly train: AnswerSet;
  readonly dev: AnswerSet;
  /** Everything else: what collateral damage is judged on when a learning rate is chosen. */
  readonly devOther: AnswerSet;
  readonly replay: AnswerSet;
  /** Smaller samples of the test split, for the many methods that are compared. */
  readonly classes: readonly EvaluationClass[];
  readonly maxUpdates: number;
}

export interface RunPlan {
  readonly task: RunResult["task"];
  readonly origin?: string;
  readonly licence?: string;
  readonly questions: readonly RunQuestion[];
  readonly classes: readonly EvaluationClass[];
  readonly tuning?: TuningPlan;
  /** What the worked example is chosen from; by default the first question's test items. */
  readonly examples?: readonly Item[];
  /** What cannot be asked of this model, and the claims that are not testable for that reason. */
  readonly missing: readonly MissingCard[];
  /** X_c is X_r with a null word in place of the operator. */
  readonly nullOperator: boolean;
}

export function evaluationClass(
  name: string,
  title: string,
  items: readonly Item[],
  exhaustive = false,
): EvaluationClass {
  return { name, title, set: answersOf(items), exhaustive };
}
