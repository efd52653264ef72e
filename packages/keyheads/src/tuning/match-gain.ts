// The comparison at matched gain on plain sets of items: a task, and others that must not suffer.
import type { HeadRef } from "../attribution/component.ts";
import type { CallOptions } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import { type AnsweredItem, answersOf } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import type { IdentifyResult, TuningComparison } from "../results.ts";
import { evaluateClasses } from "../run/evaluate-classes.ts";
import type { NamedItems } from "./compare-tuning.ts";
import { lowestEffectHeads } from "./draws.ts";
import { gainMethods } from "./gain-methods.ts";
import { compareAtMatchedGain, type MatchedGainEvent } from "./matched-gain.ts";

export interface MatchGainOptions extends CallOptions {
  readonly heads: readonly HeadRef[];
  /** Percentage points to be gained on `dev`. */
  readonly gain: number;
  readonly learningRates: readonly number[];
  readonly train: readonly AnsweredItem[];
  readonly dev: readonly AnsweredItem[];
  readonly test: readonly AnsweredItem[];
  /** A third of each is replayed, a third chooses learning rates, a third is tested. */
  readonly others: readonly NamedItems[];
  /** Effects of heads: then the heads with the least effect are compared too. */
  readonly effects?: Pick<IdentifyResult, "heads"> | undefined;
  /** Random sets; 20 by default, fewer cannot support a claim. */
  readonly draws?: number;
  readonly batch?: number;
  readonly maxUpdates?: number;
  readonly seed?: number;
  readonly onEvent?: (event: MatchedGainEvent) => void;
}

/** The verdict by the rule of docs/tuning.md. Throws BAD_ITEMS where a set is too small to divide. */
export async function matchGain(
  model: Model,
  options: MatchGainOptions,
): Promise<TuningComparison> {
  const { heads, others, effects, signal, onProgress, seed = 0 } = options;
  const small = others.find(({ items }) => items.length < 3);
  if (small || others.length === 0) {
    const what = small ? `${small.name} has ${small.items.length} items` : "there are none";
    throw new KeyheadsError(
      "BAD_ITEMS",
      `other items are divided into replayed, dev and test ones: ${what}; at least 3 are needed`,
    );
  }
  const third = (part: number) =>
    others.map(({ name, items }) => ({ name, items: items.filter((_, i) => i % 3 === part) }));
  const all = (sets: readonly NamedItems[]) => answersOf(sets.flatMap(({ items }) => items));
  const classes = [{ name: "task", items: options.test }, ...third(2)].map(({ name, items }) => ({
    name,
    title: name,
    set: answersOf(items),
  }));
  return await compareAtMatchedGain(model, {
    target: "task",
    gain: options.gain,
    learningRates: options.learningRates,
    train: answersOf(options.train),
    dev: answersOf(options.dev),
    replay: all(third(0)),
    devOther: all(third(1)),
    evaluate: (tuned) => evaluateClasses(tuned, classes, signal ? { signal } : {}),
    methods: gainMethods(model.spec, {
      key: heads,
      draws: options.draws ?? 20,
      mlps: [...new Set(heads.map(({ layer }) => layer))].slice(-1),
      full: true,
      seed,
      ...(effects && { lowest: lowestEffectHeads(effects, heads.length) }),
    }),
    // What replay is worth, the other methods show.
    replayMethods: ({ kind }) => kind !== "random",
    ...(options.batch !== undefined && { batch: options.batch }),
    ...(options.maxUpdates !== undefined && { maxUpdates: options.maxUpdates }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
    ...(options.onEvent && { onEvent: options.onEvent }),
  });
}
