// Selective fine-tuning: AdamW on the slices of the selected heads and MLPs, the loss on answer
// tokens only (Zhang et al., ICML 2024, section 5). The mask applies to the update: gradients,
// moments, decay and clipping see the selected slices only; everything else keeps its bits, which
// hashes before and after check.
import { KeyheadsError } from "../errors.ts";
import { type AnswerSet, answersOf, checkContext, countItems } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import type { TuneResult } from "../results.ts";
import { compareHashes, hashWeights, unselectedDigest } from "../save/isolation.ts";
import type { Trainer } from "../trainer.ts";
import { type RunSettings, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { TuneOptions } from "./options.ts";
import { ItemOrder } from "./order.ts";
import { planTuning, type TuningPlan } from "./plan.ts";
import { checkRun, runSettings, type TuningRun } from "./run-settings.ts";
import { learningRateFactor } from "./schedule.ts";
import { formatHeads } from "./selection.ts";
import { trainStep } from "./train-step.ts";

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
  const set = "tokens" in options.train ? options.train : answersOf(options.train);
  checkContext(set, model.spec.context);
  const run = checkRun(options, countItems(set), gradientScale(model, plan, options));
  const before = await hashWeights(model, plan.slices);
  const settings = runSettings(plan, set, run, {
    dtype: model.dtype,
    unselectedWeights: unselectedDigest(before),
  });
  using trainer = await model.createTrainer(plan.slices);
  const losses = await new TuningLoop(trainer, plan, set, run, settings, options).train();
  return {
    method: plan.method,
    heads: formatHeads(plan.heads),
    mlps: plan.mlps,
    trainedParameters: plan.trainedParameters,
    totalParameters: model.parameterCount,
    steps: losses.length,
    loss: losses,
    isolation: compareHashes(before, await hashWeights(model, plan.slices)),
    seconds: (performance.now() - started) / 1000,
  };
}

function gradientScale(model: Model, plan: TuningPlan, options: TuneOptions): number {
  if (options.gradientScale !== "heads") return 1;
  if (plan.heads.length > 0) return (model.spec.layers * model.spec.heads) / plan.heads.length;
  throw new KeyheadsError("USAGE", "gradientScale heads needs selected heads");
}

/** One run from its first or resumed update to its last, with checkpoints on the way. */
class TuningLoop {
  readonly trainer: Trainer;
  readonly plan: TuningPlan;
  readonly set: AnswerSet;
  readonly run: TuningRun;
  readonly settings: RunSettings;
  readonly options: TuneOptions;
  readonly losses: number[] = [];
  saved = -1;

  constructor(
    trainer: Trainer,
    plan: TuningPlan,
    set: AnswerSet,
    run: TuningRun,
    settings: RunSettings,
    options: TuneOptions,
  ) {
    this.trainer = trainer;
    this.plan = plan;
    this.set = set;
    this.run = run;
    this.settings = settings;
    this.options = options;
  }

  async train(): Promise<number[]> {
    const { set, run, options, losses } = this;
    const order = new ItemOrder(countItems(set), run.batch * run.accumulate, run.seed);
    if (options.resume) await this.#resume();
    this.#announce();
    while (losses.length < run.steps) {
      if (options.signal?.aborted) throw await this.#cancelled();
      const step = losses.length;
      const lr = run.update.lr * learningRateFactor(run.schedule, step, run.steps, run.warmup);
      const { loss, gradientNorm } = await trainStep(this.trainer, set, order.at(step), {
        batch: run.batch,
        request: { ...run.update, lr },
        name: `update ${step + 1} of ${run.steps}`,
      });
      losses.push(loss);
      options.onEvent?.({ type: "step", step: step + 1, steps: run.steps, loss, lr, gradientNorm });
      if (losses.length % (options.checkpointEvery ?? run.steps) === 0) await this.#save();
      if (await this.#evaluated()) break;
    }
    await this.#save();
    return losses;
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
    const { state, losses, step } = await readCheckpoint(folder, settings, plan.slices.length);
    // The gradients of a finished update are zero.
    const gradients = state.values.map((values) => values.map(() => 0));
    await trainer.write({ ...state, gradients });
    this.losses.push(...losses);
    this.saved = step;
  }

  async #save(): Promise<string | undefined> {
    const { options, plan, settings, losses } = this;
    const { checkpointDir } = options;
    const step = losses.length;
    if (checkpointDir === undefined || this.saved === step) return checkpointDir;
    const state = await this.trainer.read();
    const path = await writeCheckpoint(
      checkpointDir,
      { step, losses, settings, state },
      plan.slices,
    );
    this.saved = step;
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
