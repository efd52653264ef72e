// The weights of a model as matrices: [rows, columns] is the engine's [out, in], vectors have one
// column. Slices are rectangles in these.
import type { ModelSpec, Slice, SlotRef } from "@keyheads/native";
import { slotShape } from "../load/slots.ts";

/** The part of a Model that says which weights exist. */
export interface SlotOwner {
  readonly spec: ModelSpec;
  readonly files: { readonly slots: readonly SlotRef[] };
}

/** The whole weight of a slot. */
export function wholeSlice({ slot, layer }: SlotRef, spec: ModelSpec): Slice {
  const [rows, columns = 1] = slotShape(slot, spec);
  return { slot, layer, rows: [0, rows], columns: [0, columns] };
}

export function allSlices({ spec, files }: SlotOwner): Slice[] {
  return files.slots.map((ref) => wholeSlice(ref, spec));
}

/** Numbers in the slices together. */
export function countParameters(slices: readonly Slice[]): number {
  return slices.reduce(
    (sum, { rows, columns }) => sum + (rows[1] - rows[0]) * (columns[1] - columns[0]),
    0,
  );
}
