// What every patching of units begins with: the pairs that are a fair question, and what X_r and X_c
// themselves give; and what it ends with: mean effects with intervals.
import type { CallOptions, Model } from "../../model.ts";
import type { IdentifyResult } from "../../results.ts";
import { numberClusters } from "../../statistics/bootstrap.ts";
import type { Item, ItemSet } from "../../tasks/items.ts";
import { chunkSize } from "../chunk-size.ts";
import { chooseEffect, type Effect, type Guard } from "../effects.ts";
import type { IdentifyOptions, Positions } from "../options.ts";
import { droppedOf, itemsOf, makePairs, type Pair } from "../pairs.ts";
import { type BaseReading, pickReading, type Reading, readRuns } from "../reading.ts";
import { itemEffects, meanPresent, summarise, totalIsReal } from "../summary.ts";
import { screen } from "../validity.ts";

export type QuestionOptions = Pick<
  IdentifyOptions,
  | "effect"
  | "counterfactual"
  | "onlyCorrect"
  | "excludeUnchanged"
  | "guard"
  | "draws"
  | "seed"
  | "batch"
  | "signal"
  | "onProgress"
>;

/** Mean effect of one unit, mean(patched - reference), with its interval and share of the total. */
export interface UnitEffect {
  readonly name: string;
  readonly effect: number;
  readonly low: number;
  readonly high: number;
  /** NaN where X_c changes nothing. */
  readonly share: number;
}

export class Question {
  readonly pairs: readonly Pair[];
  readonly effect: Effect;
  readonly validity: IdentifyResult["validity"];
  readonly counts: IdentifyResult["items"];
  readonly #reference: BaseReading;
  readonly #counterfactual: BaseReading;
  readonly #options: QuestionOptions;
  readonly #guard: Guard;

  private constructor(
    parts: Pick<Question, "pairs" | "effect" | "validity" | "counts">,
    reference: BaseReading,
    counterfactual: BaseReading,
    options: QuestionOptions,
  ) {
    this.pairs = parts.pairs;
    this.effect = parts.effect;
    this.validity = parts.validity;
    this.counts = parts.counts;
    this.#reference = reference;
    this.#counterfactual = counterfactual;
    this.#options = options;
    this.#guard = { logit: 0.01, probability: 1e-9, ...options.guard };
  }

  /** Runs X_r and X_c of the items; `positions` "all" demands that both have the same length. */
  static async ask(
    model: Model,
    items: ItemSet | readonly Item[],
    positions: Positions,
    options: QuestionOptions,
  ): Promise<Question> {
    const kind = options.counterfactual ?? "own";
    const all = makePairs(itemsOf(items), kind, positions, options.seed ?? 0);
    const effect = chooseEffect(options.effect, all);
    const batch = options.batch ?? chunkSize(model, longestOf(all), "all", 3);
    const call: CallOptions = options.signal ? { signal: options.signal } : {};
    const reference = await readRuns(model, all, (pair) => pair.reference, batch, call);
    const counterfactual = await readRuns(model, all, (pair) => pair.counterfactual, batch, call);
    const { kept, validity } = screen(all, reference, counterfactual, {
      onlyCorrect: options.onlyCorrect ?? false,
      excludeUnchanged: options.excludeUnchanged ?? kind !== "self",
    });
    const pairs = kept.map((i) => all[i] as Pair);
    const counts = { used: pairs.length, dropped: droppedOf(items) };
    return new Question(
      { pairs, effect, validity, counts },
      pickReading(reference, kept),
      pickReading(counterfactual, kept),
      options,
    );
  }

  /** Mean metric on X_r and X_c, and their difference. */
  totals(): { reference: number; counterfactual: number; totalEffect: number } {
    const { level } = this.effect;
    const totalEffect = meanPresent(this.#effects(this.#counterfactual));
    if (!level) return { reference: 0, counterfactual: totalEffect, totalEffect };
    const mean = (run: BaseReading) =>
      meanPresent(
        run.answer.map((answer, i) =>
          level({
            answer,
            other: run.other[i] as number,
            logsumexp: run.logsumexp[i] as number,
          }),
        ),
      );
    return {
      reference: mean(this.#reference),
      counterfactual: mean(this.#counterfactual),
      totalEffect,
    };
  }

  /** One reading a unit; items whose reading is NaN do not take part. */
  summarise(names: readonly string[], patched: readonly Reading[]): UnitEffect[] {
    const clusters = numberClusters(this.pairs.map((pair) => pair.cluster));
    const effects = patched.map((reading) => this.#effects(reading));
    const total = this.#effects(this.#counterfactual);
    const real = totalIsReal(this.#reference, this.#counterfactual);
    const { estimates, shares } = summarise(this.effect, effects, total, clusters, this.#options);
    return names.map((name, i) => {
      const { estimate = Number.NaN, low = Number.NaN, high = Number.NaN } = estimates[i] ?? {};
      return {
        name,
        effect: estimate,
        low,
        high,
        share: real ? (shares[i] as number) : Number.NaN,
      };
    });
  }

  #effects(reading: Reading): Float64Array {
    return itemEffects(this.effect, this.#reference, reading, this.#guard);
  }
}

export function longestOf(pairs: readonly Pair[]): number {
  return pairs.reduce(
    (most, pair) => Math.max(most, pair.reference.length, pair.counterfactual.length),
    0,
  );
}
