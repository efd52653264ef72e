// Every weight cut into its natural pieces: one per head where a tensor has heads, else the whole.
// Hashing and comparing go piece by piece, so that a report can say which head changed.
import type { ModelSpec, Slice } from "@keyheads/native";
import { slotKey, slotShape } from "../load/slots.ts";
import { type SlotPart, wholeSlice } from "../tuning/slots.ts";

export interface Piece extends Slice {
  /** "wq 2.1", "wk of group 2.0", "wUp 3", "wUp 3 of expert 0", "embed" */
  readonly name: string;
}

/** Disjoint pieces that cover the slot's matrix, or its part. */
export function piecesOf(part: SlotPart, spec: ModelSpec): Piece[] {
  const whole = wholeSlice(part, spec);
  const { slot, layer, expert } = part;
  const blocks = (count: number, side: "rows" | "columns", what: string): Piece[] =>
    Array.from({ length: count }, (_, i) => ({
      ...whole,
      [side]: [i * spec.dHead, (i + 1) * spec.dHead] as const,
      name: `${slot} ${what}${layer}.${i}`,
    }));
  if (slot === "wq" || slot === "bq") return blocks(spec.heads, "rows", "");
  if (slot === "wo") return blocks(spec.heads, "columns", "");
  if (slot === "wk" || slot === "wv" || slot === "bk" || slot === "bv") {
    return blocks(spec.kvHeads, "rows", spec.kvHeads === spec.heads ? "" : "of group ");
  }
  if (layer < 0) return [{ ...whole, name: slot }];
  const [first, last] = whole.rows;
  const isPart = last - first < slotShape(slot, spec)[0];
  const head = isPart ? `.${first / spec.dHead}` : "";
  const of = expert === undefined ? "" : ` of expert ${expert}`;
  return [{ ...whole, name: `${slot} ${layer}${head}${of}` }];
}

/** A run of columns of one row, inside or outside the selection. */
export interface Run {
  readonly row: number;
  readonly start: number;
  readonly stop: number;
  readonly selected: boolean;
}

/** The runs of a piece, row by row, split where a selected slice of the same slot begins or ends. */
export function* runsOf(piece: Slice, selected: readonly Slice[]): Generator<Run> {
  const [first, last] = piece.columns;
  const here = selected.filter(
    (slice) => slotKey(slice) === slotKey(piece) && overlap(slice.rows, piece.rows),
  );
  for (let row = piece.rows[0]; row < piece.rows[1]; ++row) {
    const spans = here
      .filter(({ rows }) => rows[0] <= row && row < rows[1])
      .map(({ columns }) => [Math.max(columns[0], first), Math.min(columns[1], last)] as const)
      .filter(([start, stop]) => start < stop)
      .sort(([a], [b]) => a - b);
    let at = first;
    for (const [start, stop] of spans) {
      if (at < start) yield { row, start: at, stop: start, selected: false };
      yield { row, start, stop, selected: true };
      at = stop;
    }
    if (at < last) yield { row, start: at, stop: last, selected: false };
  }
}

function overlap(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] < b[1] && b[0] < a[1];
}
