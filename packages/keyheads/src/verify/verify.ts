// Compares the engine with golden reference data, group by group.
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { exists } from "../load/safetensors.ts";
import { type LoadOptions, Model } from "../model.ts";
import type { Outcome } from "./comparison.ts";
import { type Check, VerifyContext } from "./context.ts";
import { generation, ragged } from "./decoding-checks.ts";
import { forwardChecks, otherConfig } from "./forward-checks.ts";
import { openGoldens } from "./goldens.ts";
import { fastAgainstNaive, patchingChecks } from "./patching-checks.ts";
import { verifyReference } from "./reference.ts";
import { trainingChecks } from "./training-checks.ts";

export interface VerifyGroup {
  readonly name: string;
  /** Largest deviation; null if the group could not be computed. For tokens, how many are wrong. */
  readonly maxAbs: number | null;
  readonly tolerance: number | null;
  readonly pass: boolean;
  /** Why the group could not be computed. */
  readonly error?: string;
}

export interface VerifyResult {
  readonly groups: readonly VerifyGroup[];
  readonly pass: boolean;
}

export interface VerifyOptions extends LoadOptions {
  /** Called as each group is done. */
  readonly onGroup?: (group: VerifyGroup, done: number, total: number) => void;
}

const checks: Readonly<Record<string, Check>> = {
  ...forwardChecks,
  ...trainingChecks,
  ...patchingChecks,
};

/** Keys that are inputs of the runs. */
const inputs = new Set([
  "input_ids",
  "cf.input_ids",
  "labels",
  "pad.input_ids",
  "pad.attention_mask",
  "pad.position_ids",
]);

/**
 * Verifies a folder with golden.safetensors and golden.json, or with reference.safetensors.
 * A group that fails or that keyheads does not know is in the result; it does not throw for it.
 */
export async function verify(folder: string, options: VerifyOptions = {}): Promise<VerifyResult> {
  const { onGroup, ...load } = options;
  using model = await Model.load(folder, load);
  if (!(await exists(join(folder, "golden.safetensors")))) {
    if (await exists(join(folder, "reference.safetensors"))) {
      return await runAll(await verifyReference(model, folder, load), onGroup);
    }
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${folder} has neither golden.safetensors nor reference.safetensors to verify against`,
    );
  }
  const goldens = await openGoldens(folder);
  const context = new VerifyContext(model, goldens, load);
  const found = new Set(goldens.tensors.names.map((key) => key.split("/", 1)[0] as string));
  const groups = [...found].filter((name) => !inputs.has(name));
  const jobs = new Map<string, () => Promise<Outcome>>();
  for (const name of groups) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    jobs.set(name, check ? () => check(context, name) : unknown(name));
  }
  jobs.set("generation", () => generation(context, "generation"));
  jobs.set("ragged", () => ragged(context, "ragged"));
  jobs.set("fast_vs_naive", () => fastAgainstNaive(context, "fast_vs_naive"));
  if (await exists(join(folder, "config_v4.json"))) {
    jobs.set("config_v4", () => otherConfig(context, "config_v4"));
  }
  return await runAll(jobs, onGroup);
}

async function runAll(
  jobs: ReadonlyMap<string, () => Promise<Outcome>>,
  onGroup: VerifyOptions["onGroup"],
): Promise<VerifyResult> {
  const groups: VerifyGroup[] = [];
  for (const [name, job] of jobs) {
    const group = await runOne(name, job);
    groups.push(group);
    onGroup?.(group, groups.length, jobs.size);
  }
  return { groups, pass: groups.every(({ pass }) => pass) };
}

async function runOne(name: string, job: () => Promise<Outcome>): Promise<VerifyGroup> {
  try {
    const { maxAbs, tolerance, pass } = await job();
    return { name, maxAbs: Number.isFinite(maxAbs) ? maxAbs : null, tolerance, pass };
  } catch (error) {
    if (error instanceof KeyheadsError && error.code === "CANCELLED") throw error;
    return { name, maxAbs: null, tolerance: null, pass: false, error: (error as Error).message };
  }
}

const unknown = (name: string) => async (): Promise<Outcome> => {
  throw new KeyheadsError("VERIFICATION_FAILED", `keyheads does not know what "${name}" is`);
};
