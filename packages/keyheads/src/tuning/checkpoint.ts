// A training checkpoint: one safetensors file with the value and both moments of every slice, and
// in its metadata the update, the losses so far and the settings it belongs to. The learning rate,
// the order of the items and the place in it follow from the update and the seed, so there is no
// state of a generator to keep. It is written beside the old one, flushed and renamed over it, so
// that a full disk or a crash at any moment leaves the old one or the new one.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { AddedSlice, FloatArray, Slice, TrainerState } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { exists, openSafetensors, readTensor } from "../load/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../load/write-safetensors.ts";
import type { Validation } from "./validation.ts";

/** Everything that must be equal for two runs to be the same run. */
export type RunSettings = Readonly<Record<string, unknown>>;

export interface Checkpoint {
  /** Updates done. */
  readonly step: number;
  readonly losses: readonly number[];
  readonly settings: RunSettings;
  readonly state: Omit<TrainerState, "gradients">;
  readonly validations?: readonly Validation[];
  /** Values of every slice at the best validation, where early stopping may go back to them. */
  readonly best?: readonly FloatArray[];
}

const format = "keyheads-tuning-1";
const parts = ["values", "firstMoments", "secondMoments"] as const;

export function checkpointPath(folder: string): string {
  return join(folder, "checkpoint.safetensors");
}

/** Gives the path. Throws WRITE_FAILED; a checkpoint that was there before is still there then. */
export async function writeCheckpoint(
  folder: string,
  checkpoint: Checkpoint,
  slices: readonly (Slice | AddedSlice)[],
): Promise<string> {
  const { step, losses, settings, state, validations = [], best = [] } = checkpoint;
  const path = checkpointPath(folder);
  const tensors = [
    ...parts.map((part) => [part, state[part]] as const),
    ["best", best] as const,
  ].flatMap(([part, arrays]) => arrays.map((values, i) => toTensor(part, i, slices, values)));
  const metadata = {
    format,
    step: String(step),
    losses: JSON.stringify(losses),
    settings: JSON.stringify(settings),
    validations: JSON.stringify(validations),
  };
  await mkdir(folder, { recursive: true }).catch((cause: Error) => {
    throw new KeyheadsError("WRITE_FAILED", `could not make ${folder}: ${cause.message}`, {
      cause,
    });
  });
  await writeSafetensors(path, tensors, metadata);
  return path;
}

function toTensor(
  part: string,
  index: number,
  slices: readonly (Slice | AddedSlice)[],
  values: FloatArray,
): TensorToWrite {
  const { rows, columns } = slices[index] as Slice | AddedSlice;
  return {
    name: `${part}.${index}`,
    dtype: values instanceof Float64Array ? "F64" : "F32",
    shape: [rows[1] - rows[0], columns[1] - columns[0]],
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
}

/** Reads the checkpoint of a folder. Throws BAD_CHECKPOINT where it is missing or of another run. */
export async function readCheckpoint(
  folder: string,
  settings: RunSettings,
  slices: number,
): Promise<Checkpoint> {
  const path = checkpointPath(folder);
  if (!(await exists(path))) {
    throw new KeyheadsError(
      "BAD_CHECKPOINT",
      `${path} does not exist: there is nothing to resume; leave resume out to start anew`,
    );
  }
  const { metadata, tensors } = await openSafetensors(path);
  if (metadata.format !== format) {
    throw new KeyheadsError("BAD_CHECKPOINT", `${path} is not a checkpoint of a tuning run`);
  }
  const saved = JSON.parse(metadata.settings ?? "{}") as RunSettings;
  checkSettings(path, saved, settings);
  const read = async (part: string): Promise<FloatArray[]> => {
    const found = Array.from({ length: slices }, (_, index) => {
      const tensor = tensors.find(({ name }) => name === `${part}.${index}`);
      if (tensor) return tensor;
      throw new KeyheadsError("BAD_CHECKPOINT", `${path} has no ${part} of slice ${index}`);
    });
    return await Promise.all(
      found.map(async (tensor) => {
        const values = await readTensor(tensor);
        return tensor.dtype === "F64" ? values : Float32Array.from(values);
      }),
    );
  };
  const step = Number(metadata.step);
  const hasBest = tensors.some(({ name }) => name === "best.0");
  return {
    step,
    validations: JSON.parse(metadata.validations ?? "[]") as Validation[],
    ...(hasBest && { best: await read("best") }),
    losses: JSON.parse(metadata.losses ?? "[]") as number[],
    settings: saved,
    state: {
      step,
      values: await read("values"),
      firstMoments: await read("firstMoments"),
      secondMoments: await read("secondMoments"),
    },
  };
}

function checkSettings(path: string, saved: RunSettings, now: RunSettings): void {
  for (const key of new Set([...Object.keys(now), ...Object.keys(saved)])) {
    const [was, is] = [JSON.stringify(saved[key]), JSON.stringify(now[key])];
    if (was === is) continue;
    throw new KeyheadsError(
      "BAD_CHECKPOINT",
      `${path} is of another run: its ${key} is ${was}, this run's is ${is}; use the same settings, or start anew in another folder`,
    );
  }
}
