// Between slices of the engine's [out, in] matrices and the tensors of a checkpoint, which may be
// transposed or hold several slots.
import type { FloatArray, ModelSpec, Slice } from "@keyheads/native";
import type { CheckpointFiles } from "../load/checkpoint.ts";
import type { SlotSource } from "../load/map-slots.ts";
import { slotKey } from "../load/slots.ts";
import { storedIndex, storedRow, tensorOf } from "../save/stored.ts";
import { groupBy } from "../statistics/group-by.ts";
import { wholeSlice } from "../tuning/slots.ts";
import type { GoldenSlice } from "./goldens.ts";

/** Values of slices, put where the checkpoint stores them; entries outside every slice are 0. */
export function storedTensors(
  files: CheckpointFiles,
  slices: readonly Slice[],
  values: readonly FloatArray[],
): Map<string, Float64Array> {
  const slots = groupBy(files.slots, slotKey);
  const tensors = new Map<string, Float64Array>();
  for (const [i, slice] of slices.entries()) {
    const sources = slots.get(slotKey(slice));
    if (!sources) throw new RangeError(`the checkpoint has no slot ${slotKey(slice)}`);
    for (const slot of sources) {
      const size = tensorOf(files, slot.tensor).shape.reduce((product, n) => product * n, 1);
      const tensor = tensors.get(slot.tensor) ?? new Float64Array(size);
      tensors.set(slot.tensor, tensor);
      putSlice(tensor, slot, slice, values[i] as FloatArray);
    }
  }
  return tensors;
}

/** Puts those of a slice's values that this source stores. */
function putSlice(
  tensor: Float64Array,
  slot: SlotSource,
  { rows, columns }: Slice,
  values: FloatArray,
): void {
  const width = columns[1] - columns[0];
  const last = Math.min(rows[1], slot.rows[1]);
  for (let row = Math.max(rows[0], slot.rows[0]); row < last; ++row) {
    for (let column = columns[0]; column < columns[1]; ++column) {
      const at = (row - rows[0]) * width + column - columns[0];
      tensor[storedIndex(slot, row, column)] = values[at] as number;
    }
  }
}

/** The slices of slots that a part of a stored tensor is. */
export function slicesOf(files: CheckpointFiles, spec: ModelSpec, golden: GoldenSlice): Slice[] {
  const { tensor, dim, start = 0, stop = 0 } = golden;
  return files.slots
    .filter((slot) => slot.tensor === tensor)
    .flatMap((slot): Slice[] => {
      const whole = wholeSlice(slot, spec);
      if (dim === undefined) return [whole];
      const isOut = slot.shape.length === 1 || dim === (slot.transpose ? 1 : 0);
      if (!isOut) return [{ ...whole, columns: [start, stop] }];
      return runsWithin(slot, whole, start, stop).map((rows) => ({ ...whole, rows }));
    });
}

/** The runs of a slot's rows that are stored in rows [start, stop) of its tensor. */
function runsWithin(slot: SlotSource, whole: Slice, start: number, stop: number) {
  const runs: (readonly [start: number, stop: number])[] = [];
  const inside = (row: number) => {
    const stored = storedRow(slot, row);
    return row < whole.rows[1] && start <= stored && stored < stop;
  };
  for (let row = whole.rows[0]; row < whole.rows[1]; ++row) {
    if (!inside(row)) continue;
    const first = row;
    while (inside(row + 1)) ++row;
    runs.push([first, row + 1]);
  }
  return runs;
}
