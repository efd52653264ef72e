// Ways of tuning compared on one budget: the same items, batches and updates for each, a learning rate of
// its own from a dev split, and afterwards everything that says what it was worth and what it cost.
// Every run starts from the same bits, and the model has them again at the end, which is checked.
import type { FloatArray } from "@keyheads/native";
import { identify } from "../attribution/identify.ts";
import { type CallOptions, engine } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import { type AnsweredItem, type AnswerSet, answersOf } from "../evaluation/answers.ts";
import { compareEvaluations } from "../evaluation/compare.ts";
import { evaluateItems, summarise } from "../evaluation/evaluate.ts";
import { divergence, type Predictions, predict } from "../evaluation/kl.ts";
import type { EvaluatedItems } from "../evaluation/outcomes.ts";
import { evaluateText } from "../evaluation/text.ts";
import type { Model } from "../model.ts";
import type { BudgetComparison, ComparedTuning, IdentifyResult, ItemAccuracy } from "../results.ts";
import { compareHashes, hashWeights } from "../save/isolation.ts";
import { jaccard } from "../statistics/overlap.ts";
import type { Item } from "../tasks/items.ts";
import type { ComparedRun } from "./compare-methods.ts";
import type { OptimizerOptions, TuneOptions } from "./options.ts";
import { planTuning, type TuningPlan, trainedSlices } from "./plan.ts";
import type { ScheduleOptions } from "./schedule.ts";
import { snapshotSlices } from "./snapshot.ts";
import { tune } from "./tune.ts";
import { validate } from "./validation.ts";

/** A named set of items; controls and neighbouring tasks are such. */
export interface NamedItems {
  readonly name: string;
  readonly items: readonly AnsweredItem[];
}

export interface CompareTuningOptions
  extends CallOptions,
    Omit<OptimizerOptions, "lr">,
    ScheduleOptions,
    Pick<TuneOptions, "steps" | "batch" | "accumulate" | "seed"> {
  readonly runs: readonly ComparedRun[];
  readonly train: readonly AnsweredItem[];
  /** Chooses each method's learning rate, by loss; disjoint from the test items. */
  readonly dev: readonly AnsweredItem[];
  /** Tried for every method. */
  readonly learningRates: readonly number[];
  readonly test: readonly AnsweredItem[];
  /** Neighbouring tasks (other operations) and controls: accuracy, paired with the base. */
  readonly others?: readonly NamedItems[];
  /** Held-out text: loss, and KL(base || tuned). */
  readonly text?: AnswerSet;
  /** Items with counterfactuals: path patching before and after. */
  readonly patch?: readonly Item[];
  readonly onEvent?: (event: CompareEvent) => void;
}

export type CompareEvent =
  | { readonly type: "rate"; readonly run: string; readonly lr: number; readonly loss: number }
  | { readonly type: "run"; readonly result: ComparedTuning };

/** What is measured of the base, and again after every method. */
interface Base {
  readonly test: EvaluatedItems;
  readonly others: readonly { readonly name: string; readonly evaluated: EvaluatedItems }[];
  readonly predictions: Predictions | undefined;
  readonly direct: IdentifyResult | undefined;
}

/** Throws USAGE for options that make no sense, INTERNAL if the weights are not restored. */
export async function compareTuning(
  model: Model,
  options: CompareTuningOptions,
): Promise<BudgetComparison> {
  const { runs, learningRates, text } = options;
  if (runs.length === 0) throw new KeyheadsError("USAGE", "there are no methods to compare");
  if (learningRates.length === 0) throw new KeyheadsError("USAGE", "give learning rates to try");
  const untouched = await hashWeights(model, []);
  const call = callOf(options);
  const others: Base["others"][number][] = [];
  for (const { name, items } of options.others ?? []) {
    others.push({ name, evaluated: await evaluateItems(model, items, call) });
  }
  const base: Base = {
    test: await evaluateItems(model, options.test, call),
    others,
    predictions: text && (await predict(model, text, call)),
    direct: options.patch && (await identify(model, options.patch, call)),
  };
  const before = await describe(model, base, options);
  const methods: ComparedTuning[] = [];
  for (const [index, run] of runs.entries()) {
    const result = await compareRun(model, run, base, options);
    methods.push(result);
    options.onEvent?.({ type: "run", result });
    options.onProgress?.(index + 1, runs.length);
  }
  const { changedTensors } = compareHashes(untouched, await hashWeights(model, []));
  if (changedTensors.length > 0) {
    throw new KeyheadsError(
      "INTERNAL",
      `after the comparison the weights are not what they were: ${changedTensors.join(", ")}`,
    );
  }
  const { steps = 1, batch = 16, accumulate = 1 } = options;
  return { steps, itemsPerUpdate: batch * accumulate, before, methods };
}

async function compareRun(
  model: Model,
  run: ComparedRun,
  base: Base,
  options: CompareTuningOptions,
): Promise<ComparedTuning> {
  const plan = planTuning(model, { ...run, seed: options.seed ?? 0 });
  const dev = answersOf(options.dev);
  const rates: { lr: number; loss: number | null }[] = [];
  let best: { lr: number; loss: number; values: readonly FloatArray[] } | undefined;
  let cost = { secondsPerStep: 0, peakBytes: 0, unselectedChanged: 0, steps: 0 };
  const restore = await restorer(model, plan);
  try {
    for (const lr of options.learningRates) {
      const outcome = await trainOnce(model, run, lr, options);
      const loss = outcome ? (await validate(model, dev, 0, callOf(options))).loss : Number.NaN;
      rates.push({ lr, loss: Number.isFinite(loss) ? loss : null });
      options.onEvent?.({ type: "rate", run: run.name, lr, loss });
      if (outcome && loss < (best?.loss ?? Number.POSITIVE_INFINITY)) {
        best = { lr, loss, values: await readValues(model, plan) };
        cost = outcome;
      }
      await restore();
    }
    if (best === undefined) {
      throw new KeyheadsError(
        "NON_FINITE",
        `${run.name}: the loss is not finite at any of the learning rates ${options.learningRates.join(", ")}; give lower ones`,
      );
    }
    await writeValues(model, plan, best.values);
    const after = await describe(model, base, options);
    return {
      name: run.name,
      kind: run.kind,
      title: run.title,
      lr: best.lr,
      rates,
      trainedParameters: plan.trainedParameters,
      ...cost,
      ...after,
    };
  } finally {
    await restore();
  }
}

/** undefined where the learning rate was too high. */
async function trainOnce(
  model: Model,
  run: ComparedRun,
  lr: number,
  options: CompareTuningOptions,
) {
  const { select, method, lora } = run;
  const how = { select, ...(method && { method }), ...(lora && { lora }), lr };
  engine().memory(true);
  try {
    const training = { ...trainingOf(options), ...how };
    const { isolation, secondsPerStep = 0, steps } = await tune(model, training);
    const { peakBytes, weightBytes } = engine().memory();
    return {
      secondsPerStep,
      peakBytes: peakBytes - weightBytes,
      unselectedChanged: isolation.unselectedChanged,
      steps,
    };
  } catch (cause) {
    if (cause instanceof KeyheadsError && cause.code === "NON_FINITE") return undefined;
    throw cause;
  }
}

/** What every run has in common. */
function trainingOf(options: CompareTuningOptions): Omit<TuneOptions, "select"> {
  const { runs: _, test: __, onEvent: ___, onProgress: ____, ...training } = options;
  return training;
}

/** Everything that is measured of a model, beside the base. */
async function describe(
  model: Model,
  base: Base,
  options: CompareTuningOptions,
): Promise<Pick<ComparedTuning, "task" | "others" | "text" | "direct">> {
  const call = callOf(options);
  const accuracy = async (
    name: string,
    items: readonly AnsweredItem[],
    before: EvaluatedItems,
  ): Promise<ItemAccuracy> => {
    const after = await evaluateItems(model, items, call);
    const { n, accuracy: share, ci, logprob } = summarise(after);
    return { name, n, accuracy: share, ci, logprob, paired: compareEvaluations(before, after) };
  };
  const others: ItemAccuracy[] = [];
  for (const [i, { name, items }] of (options.others ?? []).entries()) {
    others.push(await accuracy(name, items, (base.others[i] as Base["others"][number]).evaluated));
  }
  const { text, patch } = options;
  return {
    task: await accuracy("task", options.test, base.test),
    others,
    ...(text &&
      base.predictions && {
        text: {
          loss: (await evaluateText(model, text, call)).loss,
          kl: await divergence(model, base.predictions, call),
        },
      }),
    ...(patch &&
      base.direct && { direct: compareDirect(base.direct, await identify(model, patch, call)) }),
  };
}

/** Path patching again: how strong the effects are now, and whether they are the same heads'. */
function compareDirect(before: IdentifyResult, after: IdentifyResult) {
  const k = Math.max(1, before.keyHeads.length);
  const top = (result: IdentifyResult) => (result.ranking ?? []).slice(0, k);
  return {
    totalEffect: after.totalEffect,
    top: top(after),
    overlap: jaccard(top(before), top(after)),
    heads: after.heads,
  };
}

/** Puts back what a plan's training changes, bit for bit. Can be called again. */
async function restorer(model: Model, plan: TuningPlan): Promise<() => Promise<void>> {
  if (plan.added.added.length > 0) return () => model.removeWeights();
  const snapshot = await snapshotSlices(model, plan.slices);
  return () => snapshot.restore();
}

async function readValues(model: Model, plan: TuningPlan): Promise<readonly FloatArray[]> {
  using trainer = await model.createTrainer(trainedSlices(plan));
  return (await trainer.read()).values;
}

async function writeValues(
  model: Model,
  plan: TuningPlan,
  values: readonly FloatArray[],
): Promise<void> {
  for (const one of plan.added.added) await model.addWeights(one);
  using trainer = await model.createTrainer(trainedSlices(plan));
  await trainer.write({ ...(await trainer.read()), values });
}

function callOf({ signal }: CallOptions): CallOptions {
  return signal ? { signal } : {};
}
