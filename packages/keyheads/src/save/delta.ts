// What tuning changed as one small file: the new values of the trained slices, in the dtype in which the
// model's files store them, and the added weights of LoRA or head offsets. Loading a model with it gives
// the bits of the saved folder. It fits the base that it was made from only, which is checked.
import { createHash } from "node:crypto";
import type { AddedSlice, AddedWeights, FloatArray, Slice } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import {
  type Dtype,
  dtypeBytes,
  openSafetensors,
  readTensor,
  readTensorBytes,
  type SafetensorsFile,
} from "../load/safetensors.ts";
import { slotKey, slotShape } from "../load/slots.ts";
import { type TensorToWrite, writeSafetensors } from "../load/write-safetensors.ts";
import type { Model } from "../model.ts";
import { groupBy } from "../statistics/group-by.ts";
import { encoders } from "./encode.ts";
import { storedIndex, tensorOf } from "./stored.ts";

const format = "keyheads-delta-1";

/** What of a model differs from its folder. */
export interface DeltaContent {
  readonly slices: readonly Slice[];
  readonly added?: readonly AddedWeights[];
  /** The parts of the added weights that may differ from zero. */
  readonly addedSlices?: readonly AddedSlice[];
}
type AnySlice = Slice | AddedSlice;

/** Writes the values that these slices have now. Throws WRITE_FAILED and, for what is empty, USAGE. */
export async function saveDelta(model: Model, path: string, content: DeltaContent): Promise<void> {
  const { added = [], addedSlices = [] } = content;
  // A model that was loaded with a delta differs from its base there too.
  const all = groupBy([...model.delta.slices, ...content.slices], nameOf);
  const slices = [...all.values()].map((same) => same[0] as Slice);
  if (slices.length + addedSlices.length === 0) {
    throw new KeyheadsError("USAGE", "a delta needs at least one slice");
  }
  const tensors: TensorToWrite[] = [];
  for (const group of bySlot([...slices, ...addedSlices])) {
    const whole = await model.readWeight(group[0]);
    const stored = model.files.slots.find((source) => slotKey(source) === slotKey(group[0]));
    const dtype = stored?.dtype ?? (model.dtype === "f64" ? "F64" : "F32");
    for (const slice of group) tensors.push(toTensor(slice, dtype, whole, widthOf(model, slice)));
  }
  await writeSafetensors(path, tensors, {
    format,
    architecture: model.architecture,
    base: model.name,
    baseHash: await hashBase(model, slices),
    slices: JSON.stringify(slices.map(bare)),
    added: JSON.stringify(added),
    addedSlices: JSON.stringify(addedSlices.map(bare)),
  });
}

/**
 * Writes a delta's values into a model as it was loaded from its base; gives what differs then.
 * Throws BAD_CHECKPOINT for a file that is none, or of another base.
 */
export async function applyDelta(model: Model, path: string): Promise<DeltaContent> {
  const file = await openSafetensors(path);
  const { metadata } = file;
  if (metadata.format !== format) {
    throw new KeyheadsError("BAD_CHECKPOINT", `${path} is no delta of keyheads tune`);
  }
  const slices = JSON.parse(metadata.slices ?? "[]") as Slice[];
  const added = JSON.parse(metadata.added ?? "[]") as AddedWeights[];
  const addedSlices = JSON.parse(metadata.addedSlices ?? "[]") as AddedSlice[];
  const misfit = slices.find((slice) => !fits(model, slice));
  if (misfit || metadata.baseHash !== (await hashBase(model, slices))) {
    throw new KeyheadsError(
      "BAD_CHECKPOINT",
      `${path} was made from ${metadata.base}, and ${model.folder} is not that model: ` +
        (misfit
          ? `it has no ${nameOf(misfit)}`
          : "its weights differ where the delta would change them"),
    );
  }
  for (const request of added) await model.addWeights(request);
  for (const group of bySlot<AnySlice>([...slices, ...addedSlices])) {
    const whole = await model.readWeight(group[0]);
    for (const slice of group) {
      const values = await valuesOf(file, slice);
      let at = 0;
      eachPlace(slice, widthOf(model, slice), (place) => {
        whole[place] = values[at++] as number;
      });
    }
    await model.writeWeight(group[0], whole);
  }
  return { slices, added, addedSlices };
}

async function valuesOf({ tensors, path }: SafetensorsFile, slice: AnySlice) {
  const tensor = tensors.find(({ name }) => name === nameOf(slice));
  if (tensor) return await readTensor(tensor);
  throw new KeyheadsError("BAD_CHECKPOINT", `${path} has no values of ${nameOf(slice)}`);
}

function toTensor(slice: AnySlice, dtype: Dtype, whole: FloatArray, width: number): TensorToWrite {
  const { rows, columns } = slice;
  const shape = [rows[1] - rows[0], columns[1] - columns[0]] as const;
  const bytes = dtypeBytes[dtype];
  const data = new Uint8Array(shape[0] * shape[1] * bytes);
  const view = new DataView(data.buffer);
  const encode = encoders[dtype as keyof typeof encoders];
  let at = 0;
  eachPlace(slice, width, (place) => {
    encode(view, at, whole[place] as number);
    at += bytes;
  });
  return { name: nameOf(slice), dtype, shape, data };
}

/** Every entry of a slice as an index into its whole matrix of so many columns, row by row. */
function eachPlace({ rows, columns }: AnySlice, width: number, visit: (place: number) => void) {
  for (let row = rows[0]; row < rows[1]; ++row) {
    for (let column = columns[0]; column < columns[1]; ++column) visit(row * width + column);
  }
}

/** Columns of the whole matrix that a slice is a part of. */
function widthOf(model: Model, { slot, columns }: AnySlice): number {
  if (slot === "zOffset" || slot.endsWith(".loraB")) return columns[1];
  const [, into = 1] = slotShape(slot.replace(".loraA", "") as Slice["slot"], model.spec);
  return into;
}

/** SHA-256 of what the base's files hold in the slices. */
async function hashBase(model: Model, slices: readonly Slice[]): Promise<string> {
  const hash = createHash("sha256");
  for (const group of bySlot(slices)) {
    for (const source of model.files.slots.filter(
      (other) => slotKey(other) === slotKey(group[0]),
    )) {
      const stored = await readTensorBytes(tensorOf(model.files, source.tensor));
      const bytes = dtypeBytes[source.dtype];
      for (const { rows, columns } of group) {
        const line = new Uint8Array((columns[1] - columns[0]) * bytes);
        const last = Math.min(rows[1], source.rows[1]);
        for (let row = Math.max(rows[0], source.rows[0]); row < last; ++row) {
          for (let column = columns[0], to = 0; column < columns[1]; ++column, to += bytes) {
            const at = storedIndex(source, row, column) * bytes;
            for (let b = 0; b < bytes; ++b) line[to + b] = stored[at + b] as number;
          }
          hash.update(line);
        }
      }
    }
  }
  return hash.digest("hex");
}

function fits(model: Model, slice: Slice): boolean {
  if (!model.files.slots.some((other) => slotKey(other) === slotKey(slice))) return false;
  const [out, into = 1] = slotShape(slice.slot, model.spec);
  return slice.rows[1] <= out && slice.columns[1] <= into;
}

function bySlot<S extends AnySlice>(slices: readonly S[]): [S, ...S[]][] {
  return [...groupBy(slices, slotKey).values()] as [S, ...S[]][];
}

/** "wq.3 [64:128, 0:768]" */
function nameOf(slice: AnySlice): string {
  const span = ([start, stop]: readonly [number, number]) => `${start}:${stop}`;
  return `${slotKey(slice)} [${span(slice.rows)}, ${span(slice.columns)}]`;
}

/** Without what a slice may have inherited from elsewhere. */
function bare({ slot, layer, expert, rows, columns }: AnySlice) {
  return { slot, layer, ...(expert !== undefined && { expert }), rows, columns };
}
