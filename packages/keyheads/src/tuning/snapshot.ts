// Weights read before a run and written back after it, so that many runs start from the same model
// without loading it again.
import type { FloatArray, Slice, SlotRef } from "@keyheads/native";
import { slotKey } from "../load/slots.ts";
import type { Model } from "../model.ts";
import { type Selection, selectSlices } from "./selection.ts";

export interface WeightSnapshot {
  /** Writes every weight back, bit for bit. Can be called again. */
  restore(): Promise<void>;
}

/** Keeps a copy of the whole weights that a selection is a part of. */
export async function snapshotWeights(model: Model, select: Selection): Promise<WeightSnapshot> {
  return await snapshotSlices(model, selectSlices(model, select));
}

/** The same for slices. */
export async function snapshotSlices(
  model: Model,
  slices: readonly Slice[],
): Promise<WeightSnapshot> {
  const refs = new Map<string, SlotRef>(slices.map((slice) => [slotKey(slice), slice]));
  const kept: [SlotRef, FloatArray][] = [];
  for (const ref of refs.values()) {
    kept.push([ref, await model.readWeight(ref)]);
  }
  return {
    async restore() {
      for (const [ref, value] of kept) await model.writeWeight(ref, value);
    },
  };
}
