// Accuracy and log-likelihood of whole answers, item by item, with intervals. Clusters (operand
// facts, templates) are drawn as wholes, because items of one cluster are not independent.
import type { CallOptions } from "../engine.ts";
import type { Model } from "../model.ts";
import type { Dropped, EvalResult, Interval } from "../results.ts";
import {
  type BootstrapOptions,
  clusterDraws,
  numberClusters,
  ratioOfMeans,
} from "../statistics/bootstrap.ts";
import { wilson } from "../statistics/wilson.ts";
import { allRight, answerLogprob, type ReadOptions, readAnswers } from "./accuracy.ts";
import { answersOf } from "./answers.ts";
import { type ChoiceItem, chooseAnswers } from "./choices.ts";
import { compareEvaluations } from "./compare.ts";
import { decodeAnswers } from "./greedy.ts";
import type { EvaluatedItems, EvaluationMode, Outcomes } from "./outcomes.ts";

/** Items, or items with the lines that could not be read. */
export type ItemsToEvaluate =
  | readonly ChoiceItem[]
  | { readonly items: readonly ChoiceItem[]; readonly dropped: readonly Dropped[] };

export interface EvaluateOptions extends CallOptions {
  /** "teacher" by default. */
  readonly mode?: EvaluationMode;
  /** Tokens that run at once; 8192 by default. */
  readonly batchTokens?: number;
  /** Another model, or what it did on the same items, to compare with in pairs. */
  readonly baseline?: Model | EvaluatedItems;
  /** Of the bootstrap intervals. */
  readonly draws?: number;
  readonly seed?: number;
}

/** Evaluates and summarises; with `baseline` the difference is tested in pairs. */
export async function evaluate(
  model: Model,
  items: ItemsToEvaluate,
  options: EvaluateOptions = {},
): Promise<EvalResult> {
  const started = performance.now();
  const { usable, dropped } = fitting(items, model.spec.context);
  const after = await evaluateItems(model, usable, options);
  const { baseline } = options;
  const before =
    baseline === undefined || "ids" in baseline
      ? baseline
      : await evaluateItems(baseline, usable, options);
  const summary = summarise(after, options);
  return {
    items: { used: usable.length, dropped },
    ...summary,
    ...(before && { paired: compareEvaluations(before, after, options) }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Every item's outcome. Throws BAD_ITEMS for an item that does not fit the model's context. */
export async function evaluateItems(
  model: Model,
  items: readonly ChoiceItem[],
  options: EvaluateOptions = {},
): Promise<EvaluatedItems> {
  const { mode = "teacher" } = options;
  const read: ReadOptions = {
    ...(options.batchTokens !== undefined && { batchTokens: options.batchTokens }),
    ...(options.signal && { signal: options.signal }),
    ...(options.onProgress && { onProgress: options.onProgress }),
  };
  const outcomes =
    mode === "choice"
      ? await chooseAnswers(model, items, read)
      : await forceAnswers(model, items, read);
  const correct = mode === "generate" ? await decodeAnswers(model, items, read) : outcomes.correct;
  return {
    mode,
    ids: items.map(({ id }) => id),
    clusters: items.map(({ id, cluster }) => cluster ?? `item ${id}`),
    correct,
    logprob: outcomes.logprob,
  };
}

/** Mean accuracy and log-probability with 95 % intervals. */
export function summarise(
  evaluated: EvaluatedItems,
  options: BootstrapOptions = {},
): Omit<EvalResult, "items" | "paired" | "seconds"> {
  const { mode, correct, logprob } = evaluated;
  const n = correct.length;
  const clusters = numberClusters(evaluated.clusters);
  const draws = clusterDraws(clusters.count, options);
  const ones = new Float64Array(n).fill(1);
  const right = correct.reduce((sum, value) => sum + value, 0);
  const byCluster = ratioOfMeans(Float64Array.from(correct), ones, clusters, draws);
  const likelihood = ratioOfMeans(logprob, ones, clusters, draws);
  // The bootstrap sees no spread where all outcomes are equal; Wilson's interval does.
  const independent = clusters.count === n || right === 0 || right === n;
  const ci: Interval = independent ? wilson(right, n) : [byCluster.low, byCluster.high];
  return {
    mode,
    n,
    accuracy: right / n,
    ci,
    logprob: likelihood.estimate,
    logprobCI: [likelihood.low, likelihood.high],
  };
}

async function forceAnswers(
  model: Model,
  items: readonly ChoiceItem[],
  options: ReadOptions,
): Promise<Outcomes> {
  const correct = new Uint8Array(items.length);
  const logprob = new Float64Array(items.length);
  for await (const read of readAnswers(model, answersOf(items), { ...options, logprob: true })) {
    for (let item = read.start; item < read.stop; ++item) {
      correct[item] = allRight(read, item - read.start);
      logprob[item] = answerLogprob(read, item - read.start);
    }
  }
  return { correct, logprob };
}

/** The items that fit; the others are counted as dropped, with the reason. */
function fitting(given: ItemsToEvaluate, context: number) {
  const items = "items" in given ? given.items : given;
  const dropped: Dropped[] = "items" in given ? [...given.dropped] : [];
  const usable = items.filter(({ line, promptIds, answerIds, choiceIds = [] }) => {
    const longest = Math.max(answerIds.length, ...choiceIds.map((choice) => choice.length));
    const read = promptIds.length + longest - 1;
    if (read > context) {
      dropped.push({ line, why: `${read} tokens are more than the model's context of ${context}` });
    }
    return read <= context;
  });
  return { usable, dropped };
}
