/**
 * What every command with a model does around its own work: check device and dtype, find and load
 * the model, time it, and give the result the fields that all results share.
 */
import { basename } from "node:path";
import type { ModelDtype } from "@keyheads/native";
import { cudaDevice } from "../cuda-device.ts";
import { KeyheadsError } from "../errors.ts";
import { resolveModel } from "../load/resolve-model.ts";
import { type DeviceName, Model } from "../model.ts";
import { type Blueprint, openBlueprint } from "./blueprint.ts";
import type { Cli } from "./cli.ts";
import type { CommandOutput } from "./command.ts";
import { type Plan, planText, type Step, toPlan } from "./plan.ts";

export interface ModelValues {
  readonly target: string;
  readonly device: DeviceName;
  readonly tf32: boolean;
  readonly dtype: ModelDtype;
  readonly threads: number | undefined;
  readonly memoryBudget: number | undefined;
  readonly delta: string | undefined;
  readonly dryRun: boolean;
}

export interface ModelWork {
  /** What the command would do, for --dry-run. */
  plan(blueprint: Blueprint): Promise<readonly Step[]>;
  compute(model: Model): Promise<CommandOutput>;
}

/** Loads the model and computes, or plans with --dry-run. */
export async function withModel(
  values: ModelValues,
  cli: Cli,
  work: ModelWork,
): Promise<CommandOutput> {
  const dtype = availableDtype(values);
  const folder = await resolveModel(values.target);
  const shared = { model: basename(folder), ...placeShown(values), dtype };
  if (values.dryRun) {
    const blueprint = await openBlueprint(folder);
    const plan = await toPlan(blueprint, await work.plan(blueprint), { ...values, dtype });
    return dryRunOutput(shared, plan, values);
  }
  const start = performance.now();
  using model = await loadModel(folder, values, cli);
  const loadSeconds = secondsSince(start);
  const { data, ...rest } = await work.compute(model);
  const seconds = secondsSince(start) - loadSeconds;
  return { ...rest, data: { ...shared, seconds, loadSeconds, peakBytes: peakBytes(), ...data } };
}

/** Loads a model with the options of the command line. */
export async function loadModel(
  nameOrFolder: string,
  values: Omit<ModelValues, "target" | "dryRun" | "delta"> & {
    readonly delta?: string | undefined;
  },
  cli: Cli,
): Promise<Model> {
  const { threads, memoryBudget, delta } = values;
  using progress = cli.progress("loading");
  return await Model.load(await resolveModel(nameOrFolder), {
    dtype: availableDtype(values),
    device: values.device,
    tf32: values.tf32,
    ...(threads !== undefined && { threads }),
    ...(memoryBudget !== undefined && { memoryBudget }),
    ...(delta !== undefined && { delta }),
    signal: cli.signal,
    onProgress: progress.onProgress,
  });
}

/** Where a result was computed, as it says: with TF32, that too. */
export function placeShown({ device, tf32 }: Pick<ModelValues, "device" | "tf32">): {
  readonly device: DeviceName;
  readonly tf32?: true;
} {
  return { device, ...(tf32 && { tf32 }) };
}

/** Largest resident memory of this process so far. */
export function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

export function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

/** Throws NO_DEVICE for what this machine does not have: nothing falls back in silence. */
export function availableDtype({
  device,
  tf32,
  dtype,
}: Pick<ModelValues, "device" | "tf32" | "dtype">): ModelDtype {
  if (device === "cpu" && tf32) {
    throw new KeyheadsError(
      "USAGE",
      "--tf32 is how a GPU multiplies floats; it needs --device cuda",
    );
  }
  if (device === "cpu") return dtype;
  if (dtype === "f64") {
    throw new KeyheadsError("USAGE", "--dtype f64 is for --device cpu: a GPU computes in float");
  }
  cudaDevice();
  return dtype;
}

/** What --dry-run prints: the plan, and exit code 4 where a memory budget is not enough. */
export function dryRunOutput(
  shared: object,
  plan: Plan,
  { memoryBudget }: Partial<Pick<ModelValues, "memoryBudget">> = {},
): CommandOutput {
  const fits = memoryBudget === undefined || plan.peakBytes <= memoryBudget;
  return {
    data: { ...shared, dryRun: true, plan: { ...plan, memoryBudget: memoryBudget ?? null, fits } },
    text: () => planText(plan, memoryBudget),
    exitCode: fits ? 0 : 4,
  };
}
