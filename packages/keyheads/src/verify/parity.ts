// How far the engine is from float64 in each precision, for many folders of golden data at once.
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { FloatArray } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { exists } from "../load/safetensors.ts";
import { type LoadOptions, Model } from "../model.ts";
import { openGoldens } from "./goldens.ts";
import { type VerifyGroup, verify } from "./verify.ts";

export type Precision = NonNullable<LoadOptions["dtype"]>;
export const precisions = ["f32", "bf16", "f64"] as const satisfies readonly Precision[];

/** Deviation of logits from those in float64. */
export interface LogitError {
  readonly maxAbs: number;
  readonly rms: number;
}

export interface ParityRow {
  readonly model: string;
  readonly architecture: string;
  /** Largest logit. */
  readonly scale: number;
  readonly errors: Readonly<Record<Precision, LogitError>>;
  /** The same of transformers, in float32 and in bfloat16 throughout. */
  readonly transformers: { readonly f32: LogitError; readonly bf16: LogitError };
  /** The check of every group, in float32 and in float64. */
  readonly groups: { readonly f32: readonly VerifyGroup[]; readonly f64: readonly VerifyGroup[] };
  readonly pass: boolean;
}

/** Verifies a folder with golden.safetensors in every precision. Throws what loading throws. */
export async function parityOf(folder: string, options: LoadOptions = {}): Promise<ParityRow> {
  const { tensors, settings } = await openGoldens(folder);
  const exact = await tensors.read("logits_f64");
  const sequences = await tensors.readRows("input_ids");
  const errors = {} as Record<Precision, LogitError>;
  let architecture = "";
  for (const dtype of precisions) {
    using model = await Model.load(folder, { ...options, dtype });
    const readout = { rows: "all", logits: "all" } as const;
    const call = options.signal ? { signal: options.signal } : {};
    const { logits } = await model.forward({ sequences, readout, ...call });
    errors[dtype] = errorOf(logits as FloatArray, exact);
    architecture = model.architecture;
  }
  const f32 = await verify(folder, { ...options, dtype: "f32" });
  const f64 = await verify(folder, { ...options, dtype: "f64" });
  const { float32_deviation: float32, bfloat16_deviation: bfloat16 } = settings;
  return {
    model: basename(folder),
    architecture,
    scale: exact.reduce((largest, logit) => Math.max(largest, Math.abs(logit)), 0),
    errors,
    transformers: {
      f32: measured(float32.logits, "float32_deviation.logits"),
      bf16: measured(bfloat16, "bfloat16_deviation"),
    },
    groups: { f32: f32.groups, f64: f64.groups },
    pass: f32.pass && f64.pass,
  };
}

/** The folders with golden.safetensors among these and, where one has none, right inside it. */
export async function goldenFolders(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    if (await exists(join(folder, "golden.safetensors"))) {
      found.push(folder);
      continue;
    }
    const inside: string[] = [];
    for (const name of (await readdir(folder)).sort()) {
      if (await exists(join(folder, name, "golden.safetensors"))) inside.push(join(folder, name));
    }
    if (inside.length === 0) {
      throw new KeyheadsError(
        "USAGE",
        `${folder} has no golden.safetensors, and no folder with one`,
      );
    }
    found.push(...inside);
  }
  return found;
}

function errorOf(found: FloatArray, exact: Float64Array): LogitError {
  let [maxAbs, squares] = [0, 0];
  exact.forEach((logit, i) => {
    const difference = Math.abs((found[i] as number) - logit);
    squares += difference ** 2;
    if (!(difference <= maxAbs)) maxAbs = difference;
  });
  return { maxAbs, rms: Math.sqrt(squares / exact.length) };
}

function measured(
  deviation: { readonly max_abs: number; readonly rms: number } | undefined,
  key: string,
): LogitError {
  if (deviation) return { maxAbs: deviation.max_abs, rms: deviation.rms };
  throw new KeyheadsError("BAD_CHECKPOINT", `golden.json has no ${key}`);
}
