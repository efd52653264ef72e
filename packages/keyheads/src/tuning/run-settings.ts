// The settings of a tuning run, checked and with their defaults, and the part of them that a
// checkpoint must agree with.
import { createHash } from "node:crypto";
import type { UpdateRequest } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { type AnswerSet, countItems } from "../evaluation/answers.ts";
import type { RunSettings } from "./checkpoint.ts";
import type { OptimizerOptions, TuneOptions } from "./options.ts";
import type { TuningPlan } from "./plan.ts";
import { type ScheduleOptions, schedules } from "./schedule.ts";

export interface TuningRun {
  readonly batch: number;
  readonly accumulate: number;
  /** Updates in all. */
  readonly steps: number;
  readonly rate: Required<ScheduleOptions>;
  readonly seed: number;
  /** The optimizer with the full learning rate. */
  readonly update: UpdateRequest;
}

/** Fills in defaults. Throws USAGE, naming the option, for a value that makes no sense. */
export function checkRun(
  options: Omit<TuneOptions, "select" | "train">,
  items: number,
  gradientScale: number,
): TuningRun {
  const { batch = 16, accumulate = 1, seed = 0 } = options;
  if (options.epochs !== undefined && options.steps !== undefined) {
    throw new KeyheadsError("USAGE", "give epochs or steps, not both");
  }
  count("batch", batch, 1);
  count("accumulate", accumulate, 1);
  count("epochs", options.epochs ?? 1, 1);
  count("steps", options.steps ?? 1, 1);
  count("evaluateEvery", options.evaluateEvery ?? 1, 1);
  count("checkpointEvery", options.checkpointEvery ?? 1, 1);
  count("patience", options.patience ?? 1, 1);
  if (!Number.isSafeInteger(seed)) throw unfit("seed", seed, "an integer");
  if (options.patience !== undefined && options.validation === undefined) {
    throw new KeyheadsError("USAGE", "patience needs validation items whose loss can stop falling");
  }
  if (options.resume && options.checkpointDir === undefined) {
    throw new KeyheadsError("USAGE", "resume needs the folder of the checkpoint (checkpointDir)");
  }
  const perEpoch = Math.ceil(items / (batch * accumulate));
  return {
    batch,
    accumulate,
    steps: options.steps ?? (options.epochs ?? 1) * perEpoch,
    rate: checkSchedule(options),
    seed,
    update: checkOptimizer(options, gradientScale),
  };
}

/** Fills in defaults. Throws USAGE. */
export function checkSchedule(options: ScheduleOptions): Required<ScheduleOptions> {
  const { schedule = "constant", warmup = 0, power = 2, floor = 0 } = options;
  if (!schedules.includes(schedule)) throw unfit("schedule", schedule, schedules.join(", "));
  count("warmup", warmup, 0);
  if (!(power > 0 && Number.isFinite(power))) throw unfit("power", power, "a positive number");
  if (!(floor >= 0 && floor <= 1)) throw unfit("floor", floor, "a share from 0 to 1");
  return { schedule, warmup, power, floor };
}

/** AdamW's settings with their defaults. Throws USAGE. */
export function checkOptimizer(options: OptimizerOptions, gradientScale: number): UpdateRequest {
  const { lr = 2e-5, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, clip = 1 } = options;
  if (!(lr > 0 && Number.isFinite(lr))) throw unfit("lr", lr, "a positive number");
  for (const beta of betas) {
    if (!(beta >= 0 && beta < 1)) throw unfit("betas", betas, "two numbers from 0 to below 1");
  }
  if (!(eps > 0 && Number.isFinite(eps))) throw unfit("eps", eps, "a positive number");
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay))) {
    throw unfit("weightDecay", weightDecay, "0 or a positive number");
  }
  if (!(clip >= 0 && Number.isFinite(clip))) throw unfit("clip", clip, "0 or a positive number");
  return { lr, beta1: betas[0], beta2: betas[1], eps, weightDecay, clip, gradientScale };
}

/**
 * Everything that decides the bits of a run, for its checkpoints. The number of updates is part of
 * it only where the learning rate depends on it: a run at a constant rate may be made longer.
 */
export function runSettings(
  plan: TuningPlan,
  set: AnswerSet,
  run: TuningRun,
  more: RunSettings,
): RunSettings {
  const { steps, update, rate, ...rest } = run;
  return {
    method: plan.method,
    slices: digest(JSON.stringify(plan.slices)),
    ...(plan.added.added.length > 0 && { added: digest(JSON.stringify(plan.added)) }),
    items: setDigest(set),
    itemCount: countItems(set),
    ...rest,
    ...rate,
    ...update,
    ...(rate.schedule !== "constant" && { steps }),
    ...more,
  };
}

/** Equal for sets of the same tokens. */
export function setDigest(set: AnswerSet): string {
  return digest(set.tokens, set.offsets, set.answerStarts);
}

function digest(...parts: readonly (string | Int32Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(
      typeof part === "string"
        ? part
        : new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
    );
  }
  return hash.digest("hex");
}

function count(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw unfit(name, value, `a whole number, ${least} or more`);
}

function unfit(name: string, value: unknown, expected: string): KeyheadsError {
  return new KeyheadsError("USAGE", `${name} is ${String(value)}; expected ${expected}`);
}
