// The weights of a model as matrices: [rows, columns] is the engine's [out, in], vectors have one
// column. Slices are rectangles in these.
import type { ModelSpec, Slice, SlotRef } from "@keyheads/native";
import { slotShape } from "../load/slots.ts";

/** A slot, or those of its rows that one stored tensor holds. */
export interface SlotPart extends SlotRef {
  readonly rows?: Slice["rows"];
  /** The tensor's name in the file. */
  readonly tensor?: string;
}

/** The part of a Model that says which weights exist. */
export interface SlotOwner {
  readonly spec: ModelSpec;
  readonly files: { readonly slots: readonly SlotPart[] };
}

/** All of a weight, or of the rows that the part names. */
export function wholeSlice({ slot, layer, expert, rows }: SlotPart, spec: ModelSpec): Slice {
  const [out, columns = 1] = slotShape(slot, spec);
  return {
    slot,
    layer,
    ...(expert !== undefined && { expert }),
    rows: rows ? [rows[0], rows[1]] : [0, out],
    columns: [0, columns],
  };
}

export function allSlices({ spec, files }: SlotOwner): Slice[] {
  return files.slots.map((ref) => wholeSlice(ref, spec));
}

/** Numbers in the slices together. */
export function countParameters(slices: readonly Pick<Slice, "rows" | "columns">[]): number {
  return slices.reduce(
    (sum, { rows, columns }) => sum + (rows[1] - rows[0]) * (columns[1] - columns[0]),
    0,
  );
}
