// Selective fine-tuning: AdamW on the slices of the selected heads and MLPs, the loss on answer
// tokens only (Zhang et al., ICML 2024, section 5). The mask applies to the update: gradients,
// moments, decay and clipping see the selected slices only; everything else keeps its bits, which
// hashes before and after check.
import type { FloatArray } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import {
  type AnsweredItem,
  type AnswerSet,
  answerBatch,
  answersOf,
  checkContext,
  countItems,
  itemTokens,
} from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import type { TuneResult } from "../results.ts";
import { compareHashes, hashWeights, pairHashes, unselectedDigest } from "../save/isolation.ts";
import type { Trainer } from "../trainer.ts";
import { addPlanned } from "./added.ts";
import { type RunSettings, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { MetricsLog } from "./metrics.ts";
import type { TuneOptions } from "./options.ts";
import { ItemOrder } from "./order.ts";
import { planTuning, type TuningPlan, trainedSlices } from "./plan.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { checkRun, runSettings, setDigest, type TuningRun } from "./run-settings.ts";
import { learningRateFactor } from "./schedule.ts";
import { formatHeads } from "./selection.ts";
import { type StepOptions, trainStep } from "./train-step.ts";
import { bestOf, isExhausted, type Validation, validate } from "./validation.ts";

/**
 * Trains the model in place and says what it did. Throws USAGE for settings that make no sense,
 * BAD_ITEMS for an item without answer, NON_FINITE naming the batch, CANCELLED after saving a
 * checkpoint, WRITE_FAILED with the old checkpoint intact.
 *
 * @example
 * const result = await tune(model, { select: { heads: parseHeads("2.1,2.2") }, train, epochs: 2 });
 */
export async function tune(model: Model, options: TuneOptions): Promise<TuneResult> {
  const started = performance.now();
  const plan = planTuning(model, options);
  const set = packed(options.train, model);
  const run = checkRun(options, countItems(set), gradientScale(model, plan, options));
  const before = await hashWeights(model, plan.slices);
  const settings = runSettings(plan, set, run, {
    dtype: model.dtype,
    unselectedWeights: unselectedDigest(before),
    ...(options.patience && {
      patience: options.patience,
      evaluateEvery: options.evaluateEvery ?? 1,
      validation: setDigest(packed(options.validation ?? [], model)),
    }),
  });
  await addPlanned(model, plan.added, run.seed);
  using trainer = await model.createTrainer(trainedSlices(plan));
  await using prefix = prefixCache(model, plan, set, options);
  const recompute = await needsRecomputing(trainer, set, run, options);
  const how = { prefix, recompute };
  const loop = new TuningLoop(model, trainer, plan, set, run, settings, options, how);
  const outcome = await loop.train();
  const after = await hashWeights(model, plan.slices);
  options.onEvent?.({ type: "isolation", pieces: pairHashes(before, after) });
  return {
    method: plan.method,
    heads: formatHeads(plan.heads),
    mlps: plan.mlps,
    trainedParameters: plan.trainedParameters,
    totalParameters: model.parameterCount,
    ...outcome,
    isolation: compareHashes(before, after),
    seconds: (performance.now() - started) / 1000,
  };
}

/** undefined where there is nothing to keep, or the model has hooks that may change it. */
function prefixCache(
  model: Model,
  plan: TuningPlan,
  set: AnswerSet,
  { prefixCache: budget = {} }: TuneOptions,
): PrefixCache | undefined {
  const slices = trainedSlices(plan);
  const inLayers = slices.filter(({ layer }) => layer >= 0).map(({ layer }) => layer);
  const embeds = slices.some(({ slot }) => slot === "embed" || slot === "posEmbed");
  const lowest = Math.min(...inLayers, model.spec.layers);
  if (budget === false || embeds || lowest === 0 || model.hooks().length > 0) return undefined;
  return new PrefixCache(model, set, lowest, budget);
}

/** By default where the batch with the most tokens would go beyond the model's memory budget. */
async function needsRecomputing(
  trainer: Trainer,
  set: AnswerSet,
  { batch }: TuningRun,
  { recompute = "auto" }: TuneOptions,
): Promise<boolean> {
  const budget = trainer.model.memoryBudget;
  if (recompute !== "auto" || budget === 0) return recompute === true;
  const longest = Array.from({ length: countItems(set) }, (_, item) => item)
    .sort((a, b) => itemTokens(set, b).length - itemTokens(set, a).length)
    .slice(0, batch);
  const { sequences, rows, targets } = answerBatch(set, longest);
  const weights = new Float64Array(rows.length);
  const objective = { kind: "cross-entropy", rows, targets, weights } as const;
  return (await trainer.plan({ sequences, objective })).peakBytes > budget;
}

function packed(items: readonly AnsweredItem[] | AnswerSet, model: Model): AnswerSet {
  const set = "tokens" in items ? items : answersOf(items);
  checkContext(set, model.spec.context);
  return set;
}

function gradientScale(model: Model, plan: TuningPlan, options: TuneOptions): number {
  if (options.gradientScale !== "heads") return 1;
  if (plan.heads.length > 0) return (model.spec.layers * model.spec.heads) / plan.heads.length;
  throw new KeyheadsError("USAGE", "gradientScale heads needs selected heads");
}

type Outcome = Pick<TuneResult, "steps" | "loss" | "validation" | "bestStep" | "secondsPerStep">;

/** One run from its first or resumed update to its last, with checkpoints on the way. */
class TuningLoop {
  readonly model: Model;
  readonly trainer: Trainer;
  readonly plan: TuningPlan;
  readonly set: AnswerSet;
  readonly run: TuningRun;
  readonly settings: RunSettings;
  readonly options: TuneOptions;
  readonly order: ItemOrder;
  readonly validation: AnswerSet | undefined;
  readonly how: Pick<StepOptions, "prefix" | "recompute">;
  readonly losses: number[] = [];
  readonly validations: Validation[] = [];
  /** Values at the best validation so far. */
  best: readonly FloatArray[] | undefined;
  saved = -1;
  savedAt = performance.now();

  constructor(
    model: Model,
    trainer: Trainer,
    plan: TuningPlan,
    set: AnswerSet,
    run: TuningRun,
    settings: RunSettings,
    options: TuneOptions,
    how: Pick<StepOptions, "prefix" | "recompute">,
  ) {
    this.how = how;
    this.model = model;
    this.trainer = trainer;
    this.plan = plan;
    this.set = set;
    this.run = run;
    this.settings = settings;
    this.options = options;
    this.order = new ItemOrder(countItems(set), run.batch * run.accumulate, run.seed);
    this.validation = options.validation && packed(options.validation, model);
  }

  async train(): Promise<Outcome> {
    const { run, options, losses, validations } = this;
    if (options.resume) await this.#resume();
    this.#announce();
    const { checkpointDir } = options;
    const log = checkpointDir && (await MetricsLog.open(checkpointDir, losses.length));
    let seconds = 0;
    const begun = losses.length;
    while (losses.length < run.steps && !this.#exhausted()) {
      if (options.signal?.aborted) throw await this.#cancelled();
      const row = await this.#step();
      seconds += row.seconds;
      const validated = await this.#validated();
      const more = validated && { evalLoss: validated.loss, evalAccuracy: validated.accuracy };
      if (log) await log.add({ ...row, ...more });
      if (this.#isDue()) await this.#save();
      if (await this.#evaluated()) break;
    }
    await this.#save();
    if (this.best) await this.trainer.write({ ...(await this.trainer.read()), values: this.best });
    return {
      steps: losses.length,
      loss: losses,
      ...(validations.length > 0 && { validation: validations }),
      ...(this.best && { bestStep: bestOf(validations)?.step ?? 0 }),
      ...(losses.length > begun && { secondsPerStep: seconds / (losses.length - begun) }),
    };
  }

  async #step() {
    const { set, run, options, losses } = this;
    const step = losses.length;
    const items = this.order.at(step);
    const lr = run.update.lr * learningRateFactor(run.rate, step, run.steps);
    const started = performance.now();
    const { loss, gradientNorm } = await trainStep(this.trainer, set, items, {
      batch: run.batch,
      request: { ...run.update, lr },
      name: `update ${step + 1} of ${run.steps}`,
      ...this.how,
    });
    const seconds = (performance.now() - started) / 1000;
    losses.push(loss);
    const tokens = tokensRead(set, items);
    const row = { step: step + 1, loss, lr, gradientNorm, tokens, seconds };
    options.onEvent?.({ type: "step", steps: run.steps, ...row });
    return row;
  }

  /** Loss and accuracy on the validation items, where it is time for them. */
  async #validated(): Promise<Validation | undefined> {
    const { options, validation, losses } = this;
    const due = losses.length % (options.evaluateEvery ?? 1) === 0;
    if (validation === undefined || !due) return undefined;
    const result = await validate(this.model, validation, losses.length);
    this.validations.push(result);
    if (options.patience !== undefined && bestOf(this.validations) === result) {
      this.best = (await this.trainer.read()).values;
    }
    options.onEvent?.({ type: "validation", result });
    return result;
  }

  #exhausted(): boolean {
    const { patience } = this.options;
    return patience !== undefined && isExhausted(this.validations, patience);
  }

  /** True where the caller's evaluation says that this is enough. */
  async #evaluated(): Promise<boolean> {
    const { options } = this;
    const step = this.losses.length;
    if (options.evaluate === undefined || step % (options.evaluateEvery ?? 1) !== 0) return false;
    const result = await options.evaluate(step).catch(async (cause: unknown) => {
      // The caller's evaluation may watch the same signal; the update before it is not lost.
      if (options.signal?.aborted) throw await this.#cancelled();
      throw cause;
    });
    options.onEvent?.({ type: "evaluate", step, result });
    return result === "stop";
  }

  async #resume(): Promise<void> {
    const { plan, settings, options, trainer } = this;
    const folder = options.checkpointDir as string;
    const checkpoint = await readCheckpoint(folder, settings, trainedSlices(plan).length);
    const { state, losses, step, validations = [], best } = checkpoint;
    // The gradients of a finished update are zero.
    const gradients = state.values.map((values) => values.map(() => 0));
    await trainer.write({ ...state, gradients });
    this.losses.push(...losses);
    this.validations.push(...validations);
    this.best = best;
    this.saved = step;
  }

  #isDue(): boolean {
    const { checkpointEvery, checkpointSeconds = Number.POSITIVE_INFINITY } = this.options;
    const step = this.losses.length;
    if (performance.now() - this.savedAt >= 1000 * checkpointSeconds) return true;
    return checkpointEvery !== undefined && step % checkpointEvery === 0;
  }

  async #save(): Promise<string | undefined> {
    const { options, plan, settings, losses, validations, best } = this;
    const { checkpointDir } = options;
    const step = losses.length;
    if (checkpointDir === undefined || this.saved === step) return checkpointDir;
    const state = await this.trainer.read();
    const checkpoint = { step, losses, settings, state, validations, ...(best && { best }) };
    const path = await writeCheckpoint(checkpointDir, checkpoint, trainedSlices(plan));
    this.saved = step;
    this.savedAt = performance.now();
    options.onEvent?.({ type: "checkpoint", step, path });
    return checkpointDir;
  }

  async #cancelled(): Promise<KeyheadsError> {
    const folder = await this.#save();
    const kept =
      folder === undefined
        ? "no checkpoint folder was given, so nothing was saved"
        : `the checkpoint in ${folder} continues it (resume)`;
    return new KeyheadsError(
      "CANCELLED",
      `tuning stopped after update ${this.losses.length} of ${this.run.steps}; ${kept}`,
    );
  }

  #announce(): void {
    const { plan, run, set } = this;
    this.options.onEvent?.({
      type: "start",
      step: this.losses.length,
      steps: run.steps,
      items: countItems(set),
      trainedParameters: plan.trainedParameters,
      heads: formatHeads(plan.heads),
      mlps: plan.mlps,
      sharedHeads: formatHeads(plan.sharedHeads),
    });
  }
}

function tokensRead(set: AnswerSet, items: readonly number[]): number {
  return items.reduce((sum, item) => {
    const length = (set.offsets[item + 1] as number) - (set.offsets[item] as number);
    return sum + length - 1;
  }, 0);
}
