// Methods of tuning compared at the same gain on the target: how many updates each needs and what it
// costs everywhere else. At equal updates the faster learner would look more harmful; at equal gain
// only the price differs. Every method gets its own learning rate, chosen on the dev split, and
// starts from the same weights, which are restored bit for bit after each.
import type { FloatArray, UpdateRequest } from "@keyheads/native";
import type { CallOptions } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import { accuracyAtLeast, accuracyOf } from "../evaluation/accuracy.ts";
import { type AnswerSet, countItems, joinAnswers } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import type { ClassAccuracy, IsolationReport, TunedMethod, TuningComparison } from "../results.ts";
import { compareHashes, hashWeights, type PieceChange, pairHashes } from "../save/isolation.ts";
import type { Trainer } from "../trainer.ts";
import type { GainMethod } from "./gain-methods.ts";
import type { OptimizerOptions } from "./options.ts";
import { ItemOrder } from "./order.ts";
import { checkOptimizer } from "./run-settings.ts";
import { formatHeads, selectSlices } from "./selection.ts";
import { countParameters } from "./slots.ts";
import { trainStep } from "./train-step.ts";
import { gainVerdict } from "./verdict.ts";

export interface MatchedGainOptions
  extends CallOptions,
    Omit<OptimizerOptions, "lr" | "gradientScale"> {
  readonly methods: readonly GainMethod[];
  /** Name of the class of `evaluate` that is to improve. */
  readonly target: string;
  /** Percentage points to be gained on `dev`. */
  readonly gain: number;
  readonly train: AnswerSet;
  /** Items of the target that decide when the gain is reached; disjoint from test items. */
  readonly dev: AnswerSet;
  /** Other items: of the learning rates that reach the gain, the one that costs least here wins. */
  readonly devOther: AnswerSet;
  /** Accuracies of all classes on the test split. */
  readonly evaluate: (model: Model) => Promise<readonly ClassAccuracy[]>;
  /** Other items to mix in: every method then also runs with as many of them in each update. */
  readonly replay?: AnswerSet;
  /** Which methods also run with replay; all by default. */
  readonly replayMethods?: (method: GainMethod) => boolean;
  /** Tried from the highest to the lowest; a range too narrow for a method is unfair to it. */
  readonly learningRates: readonly number[];
  /** Target items of an update; 128 by default. */
  readonly batch?: number;
  /** Updates between looks at `dev`; 1 by default. */
  readonly evaluateEvery?: number;
  /** 40 by default. */
  readonly maxUpdates?: number;
  readonly onEvent?: (event: MatchedGainEvent) => void;
  /**
   * Called while the tuned weights of a method are in the model: to save it, or to look at it.
   * `pieces` has the hashes of all weights before and after.
   */
  readonly onTuned?: (
    method: TunedMethod,
    model: Model,
    pieces: readonly PieceChange[],
  ) => Promise<void>;
}

export type MatchedGainEvent =
  | {
      /** One learning rate of one method. */
      readonly type: "run";
      readonly method: string;
      readonly replay: boolean;
      readonly lr: number;
      readonly updates: number | null;
      /** Points on dev. */
      readonly gain: number;
      /** Points lost on devOther; NaN if the gain was not reached. */
      readonly collateral: number;
      /** The loss was still falling at the end: a lower rate would be slower. */
      readonly learning: boolean;
    }
  | { readonly type: "method"; readonly result: TunedMethod };

/** Runs the comparison. The model's weights are the same afterwards, which is checked. */
export async function compareAtMatchedGain(
  model: Model,
  options: MatchedGainOptions,
): Promise<TuningComparison> {
  checkOptions(options);
  const untouched = await hashWeights(model, []);
  const before = await options.evaluate(model);
  checkClasses(before, options.target);
  const start = {
    classes: before,
    dev: (await accuracyOf(model, options.dev)).accuracy,
    devOther: (await accuracyOf(model, options.devOther)).accuracy,
  };
  const conditions: Condition[] = [{ replay: false, set: options.train, of: options.methods }];
  if (options.replay) {
    conditions.push({
      replay: true,
      set: joinAnswers([options.train, options.replay]),
      of: options.methods.filter(options.replayMethods ?? (() => true)),
    });
  }
  const methods: TunedMethod[] = [];
  const reports: IsolationReport[] = [];
  let ofKeyHeads: IsolationReport | undefined;
  const total = conditions.reduce((sum, { of }) => sum + of.length, 0);
  for (const condition of conditions) {
    for (const method of condition.of) {
      const { result, isolation } = await tuneMethod(model, method, condition, start, options);
      methods.push(result);
      reports.push(isolation);
      if (method.kind === "key") ofKeyHeads = isolation;
      options.onEvent?.({ type: "method", result });
      options.onProgress?.(methods.length, total);
    }
  }
  const { changedTensors } = compareHashes(untouched, await hashWeights(model, []));
  if (changedTensors.length > 0) {
    throw new KeyheadsError(
      "INTERNAL",
      `after the comparison the weights are not what they were: ${changedTensors.join(", ")}`,
    );
  }
  return {
    target: options.target,
    matchedGain: options.gain,
    before,
    methods,
    verdict: gainVerdict(methods, options.gain, options.target),
    isolation: {
      checked: reports.reduce((sum, { checked }) => sum + checked, 0),
      changedTensors: [...new Set(reports.flatMap((report) => report.changedTensors))],
      unselectedChanged: reports.reduce((sum, report) => sum + report.unselectedChanged, 0),
      ...(ofKeyHeads?.unselectedHash && { unselectedHash: ofKeyHeads.unselectedHash }),
      ...(ofKeyHeads?.tensors && { tensors: ofKeyHeads.tensors }),
    },
  };
}

interface Start {
  readonly classes: readonly ClassAccuracy[];
  readonly dev: number;
  readonly devOther: number;
}

interface Condition {
  readonly replay: boolean;
  /** Target items, then replayed ones. */
  readonly set: AnswerSet;
  readonly of: readonly GainMethod[];
}

interface Run {
  readonly lr: number;
  readonly updates: number | null;
  /** Points on dev. */
  readonly gain: number;
  readonly collateral: number;
  /** The loss was still falling at the end. */
  readonly learning: boolean;
  readonly values: readonly FloatArray[];
}

/** The best of a method's learning rates, evaluated on the test split. */
async function tuneMethod(
  model: Model,
  method: GainMethod,
  condition: Condition,
  start: Start,
  options: MatchedGainOptions,
): Promise<{ result: TunedMethod; isolation: IsolationReport }> {
  const { heads = [], mlps = [] } = method.select;
  const { replay } = condition;
  const { maxUpdates = 40 } = options;
  const slices = selectSlices(model, method.select);
  const hashes = await hashWeights(model, slices);
  using trainer = await model.createTrainer(slices);
  const initial = await trainer.read();
  try {
    let best: Run | undefined;
    let previous: Run | undefined;
    for (const lr of options.learningRates.toSorted((a, b) => b - a)) {
      if (previous && isHopeless(lr, previous, maxUpdates)) break;
      await trainer.write(initial);
      const run = await reachGain(model, trainer, method, { ...condition, lr, start }, options);
      const { updates = null, gain = Number.NaN, collateral = Number.NaN } = run ?? {};
      const learning = run?.learning ?? false;
      options.onEvent?.({
        type: "run",
        method: method.name,
        replay,
        lr,
        updates,
        gain,
        collateral,
        learning,
      });
      if (run && (best === undefined || isBetter(run, best))) best = run;
      previous = run;
    }
    if (best === undefined) {
      throw new KeyheadsError(
        "NON_FINITE",
        `${method.name}: the loss is not finite at any of the learning rates ${options.learningRates.join(", ")}; give lower ones`,
      );
    }
    const chosen = best;
    await trainer.write({ ...initial, values: chosen.values });
    const after = await options.evaluate(model);
    const result: TunedMethod = {
      name: method.name,
      title: method.title,
      kind: method.kind,
      heads: formatHeads(heads),
      mlps,
      replay,
      seed: method.seed,
      lr: chosen.lr,
      trainedParameters: countParameters(slices),
      updates: chosen.updates,
      gain: pointsGained(start.classes, after, ({ name }) => name === options.target),
      collateral: -pointsGained(start.classes, after, ({ name }) => name !== options.target),
      after,
    };
    const hashesAfter = await hashWeights(model, slices);
    await options.onTuned?.(result, model, pairHashes(hashes, hashesAfter));
    return { result, isolation: compareHashes(hashes, hashesAfter) };
  } finally {
    await trainer.write(initial);
  }
}

/** Trains until the gain is reached on dev, or `maxUpdates`. undefined: the loss is not finite. */
async function reachGain(
  model: Model,
  trainer: Trainer,
  method: GainMethod,
  settings: Condition & { readonly lr: number; readonly start: Start },
  options: MatchedGainOptions,
): Promise<Run | undefined> {
  const { batch = 128, evaluateEvery = 1, maxUpdates = 40, signal } = options;
  const { replay, set, lr, start } = settings;
  const request: UpdateRequest = checkOptimizer({ ...options, lr }, 1);
  const call = signal ? { signal } : {};
  const own = countItems(options.train);
  const targets = new ItemOrder(own, batch, method.seed);
  const replayed = replay ? new ItemOrder(countItems(set) - own, batch, method.seed) : undefined;
  // The margin is for the rounding of decimal gains, not for items.
  const goal = start.dev + options.gain / 100 - 1e-9;
  const losses: number[] = [];
  for (let update = 0; update < maxUpdates; ++update) {
    if (signal?.aborted) throw new KeyheadsError("CANCELLED", "the comparison was cancelled");
    const extra = replayed?.at(update).map((item) => own + item) ?? [];
    const items = [...targets.at(update), ...extra];
    const name = `${method.name}, learning rate ${lr}, update ${update + 1}`;
    try {
      const { loss } = await trainStep(trainer, set, items, { batch: items.length, request, name });
      losses.push(loss);
    } catch (cause) {
      // This learning rate is too high: the run has failed, not the comparison.
      if (cause instanceof KeyheadsError && cause.code === "NON_FINITE") return undefined;
      throw cause;
    }
    if ((update + 1) % evaluateEvery !== 0 && update + 1 < maxUpdates) continue;
    const accuracy = await accuracyAtLeast(model, options.dev, goal, call);
    if (accuracy === undefined) continue;
    const other = (await accuracyOf(model, options.devOther, call)).accuracy;
    return {
      lr,
      updates: update + 1,
      gain: 100 * (accuracy - start.dev),
      collateral: 100 * (start.devOther - other),
      learning: isFalling(losses),
      values: (await trainer.read()).values,
    };
  }
  const { accuracy } = await accuracyOf(model, options.dev, call);
  const { values } = await trainer.read();
  return {
    lr,
    updates: null,
    gain: 100 * (accuracy - start.dev),
    collateral: Number.NaN,
    learning: isFalling(losses),
    values,
  };
}

/**
 * Adam's steps are proportional to the learning rate: a lower one that would need more than twice
 * the allowed updates at that proportion is not tried, nor is any below one that was still learning
 * when the updates ran out.
 */
function isHopeless(lr: number, higher: Run, maxUpdates: number): boolean {
  if (higher.updates === null) return higher.learning;
  return (higher.updates * higher.lr) / lr > 2 * maxUpdates;
}

/**
 * Whether the last quarter of the losses is lower than the quarter before it, and the first quarter
 * no higher than the first loss: a rate that is too high falls too, from where it has jumped to.
 */
export function isFalling(losses: readonly number[]): boolean {
  const quarter = Math.floor(losses.length / 4);
  if (quarter === 0) return false;
  const mean = (part: readonly number[]) => part.reduce((sum, x) => sum + x, 0) / part.length;
  const jumped = mean(losses.slice(0, quarter)) > (losses[0] as number);
  return !jumped && mean(losses.slice(-quarter)) < mean(losses.slice(-2 * quarter, -quarter));
}

/** Reaching the gain comes first, then the least collateral on dev, then the fewest updates. */
function isBetter(a: Run, b: Run): boolean {
  if (a.updates === null || b.updates === null) {
    if (a.updates === b.updates) return a.gain > b.gain;
    return a.updates !== null;
  }
  return a.collateral === b.collateral ? a.updates < b.updates : a.collateral < b.collateral;
}

function checkOptions(options: MatchedGainOptions): void {
  const { methods, gain, learningRates, batch = 128, evaluateEvery = 1, maxUpdates = 40 } = options;
  const fault =
    methods.length === 0
      ? "there are no methods to compare"
      : learningRates.length === 0
        ? "there are no learning rates to choose from"
        : !(gain > 0)
          ? `the gain of ${gain} points is not positive`
          : [batch, evaluateEvery, maxUpdates].some((n) => !(Number.isInteger(n) && n > 0))
            ? `batch ${batch}, evaluateEvery ${evaluateEvery} and maxUpdates ${maxUpdates} must be whole numbers above 0`
            : "";
  if (fault !== "") throw new KeyheadsError("USAGE", fault);
}

function checkClasses(classes: readonly ClassAccuracy[], target: string): void {
  const names = classes.map(({ name }) => name);
  if (names.includes(target) && names.length > 1) return;
  throw new KeyheadsError(
    "USAGE",
    `the classes (${names.join(", ")}) must hold the target "${target}" and at least one other`,
  );
}

/** Change of the mean accuracy over the population of some classes, in percentage points. */
function pointsGained(
  before: readonly ClassAccuracy[],
  after: readonly ClassAccuracy[],
  counts: (item: ClassAccuracy) => boolean,
): number {
  const mean = (classes: readonly ClassAccuracy[]) => {
    const some = classes.filter(counts);
    const weightOf = (item: ClassAccuracy) => item.weight ?? item.n;
    const n = some.reduce((sum, item) => sum + weightOf(item), 0);
    return some.reduce((sum, item) => sum + weightOf(item) * item.accuracy, 0) / n;
  };
  return 100 * (mean(after) - mean(before));
}
