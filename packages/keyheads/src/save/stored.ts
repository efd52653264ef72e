// Weights as bytes in their files: where an entry of the engine's [out, in] matrix is stored.
import { join } from "node:path";
import type { FloatArray, ModelSpec, Slice } from "@keyheads/native";
import { type CheckpointFiles, openCheckpoint } from "../load/checkpoint.ts";
import { readConfig } from "../load/config.ts";
import { readJson } from "../load/json.ts";
import type { SlotSource } from "../load/map-slots.ts";
import { dtypeBytes, readTensorBytes, type TensorInfo } from "../load/safetensors.ts";
import { slotShape } from "../load/slots.ts";
import type { Model } from "../model.ts";
import type { Encoder } from "./encode.ts";

/** The weights of a Hugging Face folder, without loading them into the engine. */
export async function openFolder(
  folder: string,
  configFile = "config.json",
): Promise<{ readonly files: CheckpointFiles; readonly spec: ModelSpec }> {
  const path = join(folder, configFile);
  const config = (await readJson(path)) as Readonly<Record<string, unknown>>;
  const { arch, spec, flags } = readConfig(config, path, { allowUnknownConfig: true });
  return { files: await openCheckpoint(folder, arch, spec, flags), spec };
}

/** Row of the stored tensor (after transposing) that a row of the slot is. */
export function storedRow({ rows, start, length, stride }: SlotSource, row: number): number {
  const n = row - rows[0];
  return start + Math.floor(n / length) * stride + (n % length);
}

/** Index, within the stored tensor, of entry (row, column) of the slot's [out, in] matrix. */
export function storedIndex(slot: SlotSource, row: number, column: number): number {
  const out = storedRow(slot, row);
  if (slot.shape.length === 1) return out;
  const stride = slot.shape[1] as number;
  return slot.transpose ? column * stride + out : out * stride + column;
}

/** The tensor that holds a slot. */
export function tensorOf(files: CheckpointFiles, name: string): TensorInfo {
  const tensor = files.tensors.get(name);
  if (tensor === undefined) throw new RangeError(`${files.folder} has no tensor ${name}`);
  return tensor;
}

/** The bytes of a source's rows of its [out, in] matrix, row by row, in the dtype of the file. */
export async function storedMatrix(
  files: CheckpointFiles,
  slot: SlotSource,
  spec: ModelSpec,
): Promise<Uint8Array> {
  const tensor = tensorOf(files, slot.tensor);
  const [, columns = 1] = slotShape(slot.slot, spec);
  const [first, last] = slot.rows;
  const rows = last - first;
  const width = dtypeBytes[slot.dtype];
  const from = storedIndex(slot, first, 0) * width;
  if (!slot.transpose && slot.length >= rows) {
    return await readTensorBytes(tensor, from, from + rows * columns * width);
  }
  const stored = await readTensorBytes(tensor);
  const matrix = new Uint8Array(rows * columns * width);
  for (let row = 0; row < rows; ++row) {
    for (let column = 0; column < columns; ++column) {
      const at = storedIndex(slot, first + row, column) * width;
      matrix.set(stored.subarray(at, at + width), (row * columns + column) * width);
    }
  }
  return matrix;
}

/** The engine's values of a source's rows. */
export async function readRows(
  model: Pick<Model, "readWeight" | "spec">,
  slot: SlotSource,
): Promise<FloatArray> {
  const [, columns = 1] = slotShape(slot.slot, model.spec);
  const values = await model.readWeight(slot);
  return values.subarray(slot.rows[0] * columns, slot.rows[1] * columns);
}

/** Writes a slice's entries of a whole weight over the stored bytes of its tensor. */
export function storeSlice(
  stored: DataView,
  slot: SlotSource,
  slice: Slice,
  weight: ArrayLike<number>,
  columns: number,
  encode: Encoder,
): void {
  const width = dtypeBytes[slot.dtype];
  const first = Math.max(slice.rows[0], slot.rows[0]);
  const last = Math.min(slice.rows[1], slot.rows[1]);
  for (let row = first; row < last; ++row) {
    for (let column = slice.columns[0]; column < slice.columns[1]; ++column) {
      const value = weight[row * columns + column] as number;
      encode(stored, storedIndex(slot, row, column) * width, value);
    }
  }
}
