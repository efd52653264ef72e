// The trained parts of LoRA (Hu et al. 2022) and of head offsets (LoFiT, Yin et al. 2024), from the same
// selections as everything else. LoRA on a head is LoRA whose B has only the head's rows (of W_O: whose
// A has only its columns), the rest of them stays zero.
import type { AddedSlice, AddedWeights, MatrixSlot, Slice } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { slotKey, slotShape } from "../load/slots.ts";
import type { Model } from "../model.ts";
import { groupBy } from "../statistics/group-by.ts";
import { rng } from "../statistics/rng.ts";
import type { SlotOwner } from "./slots.ts";

export interface LoraOptions {
  /** 8 by default. */
  readonly rank?: number;
  /** B A is multiplied by alpha / rank; 16 by default. */
  readonly alpha?: number;
}

export interface AddedPlan {
  readonly added: readonly AddedWeights[];
  readonly slices: readonly AddedSlice[];
}

const matrixSlots: readonly string[] = [
  "wq",
  "wk",
  "wv",
  "wo",
  "wGate",
  "wUp",
  "wDown",
] satisfies MatrixSlot[];

/** Where LoRA goes if nothing is selected: attention, in every layer. */
export const defaultModules = ["wq", "wk", "wv", "wo"] as const satisfies readonly MatrixSlot[];

/** The names of these matrices in every layer, for `Selection.matrices`. */
export function modulesOf({ files }: SlotOwner, modules: readonly string[]): string[] {
  const wrong = modules.find((name) => !matrixSlots.includes(name));
  if (wrong !== undefined) {
    throw new KeyheadsError(
      "USAGE",
      `"${wrong}" is no matrix of a layer; LoRA goes on ${matrixSlots.join(", ")}`,
    );
  }
  return files.slots.filter(({ slot }) => modules.includes(slot)).map(slotKey);
}

/** Factors for the matrices of a selection. Throws USAGE where it holds none. */
export function planLora(
  { spec }: SlotOwner,
  selected: readonly Slice[],
  { rank = 8, alpha = 16 }: LoraOptions,
): AddedPlan {
  if (!(Number.isInteger(rank) && rank >= 1)) {
    throw new KeyheadsError("USAGE", `rank is ${rank}; expected a whole number, 1 or more`);
  }
  if (!(alpha > 0 && Number.isFinite(alpha))) {
    throw new KeyheadsError("USAGE", `alpha is ${alpha}; expected a positive number`);
  }
  const matrices = selected.filter(({ slot }) => matrixSlots.includes(slot));
  if (matrices.length === 0) {
    throw new KeyheadsError("USAGE", "method lora: the selection has no matrix of a layer");
  }
  const added: AddedWeights[] = [];
  const slices: AddedSlice[] = [];
  for (const group of groupBy(matrices, slotKey).values()) {
    const { slot, layer, expert } = group[0] as Slice & { readonly slot: MatrixSlot };
    const at = { layer, ...(expert !== undefined && { expert }) };
    const [out, into = 1] = slotShape(slot, spec);
    const fits = Math.min(rank, out, into);
    added.push({ ...at, slot, rank: fits, scale: alpha / rank });
    for (const columns of distinct(group.map((slice) => slice.columns))) {
      slices.push({ ...at, slot: `${slot}.loraA`, rows: [0, fits], columns });
    }
    for (const rows of distinct(group.map((slice) => slice.rows))) {
      slices.push({ ...at, slot: `${slot}.loraB`, rows, columns: [0, fits] });
    }
  }
  return { added, slices };
}

/** One vector of dHead numbers a head, added to its z. */
export function planOffsets(
  heads: readonly { readonly layer: number; readonly head: number }[],
  dHead: number,
): AddedPlan {
  if (heads.length === 0) {
    throw new KeyheadsError("USAGE", "method offsets learns offsets of heads: name some");
  }
  const layers = [...new Set(heads.map(({ layer }) => layer))].sort((a, b) => a - b);
  return {
    added: layers.map((layer) => ({ slot: "zOffset", layer })),
    slices: heads.map(({ layer, head }) => ({
      slot: "zOffset",
      layer,
      rows: [head * dHead, (head + 1) * dHead],
      columns: [0, 1],
    })),
  };
}

/**
 * Adds the weights to the model: A as PEFT begins it, uniform within 1 / sqrt(inputs), and zero in
 * columns that are not trained; B and offsets zero. So the model computes what it did before.
 */
export async function addPlanned(
  model: Model,
  { added, slices }: AddedPlan,
  seed: number,
): Promise<void> {
  const random = rng(seed);
  for (const one of added) {
    await model.addWeights(one);
    if (!("rank" in one)) continue;
    const a = { ...one, slot: `${one.slot}.loraA` } as const;
    const trained = slices.filter((slice) => slotKey(slice) === slotKey(a));
    const [, into = 1] = slotShape(one.slot, model.spec);
    const values = new Float64Array(one.rank * into);
    for (const { columns } of trained) {
      for (let row = 0; row < one.rank; ++row) {
        for (let column = columns[0]; column < columns[1]; ++column) {
          values[row * into + column] = (2 * random.next() - 1) / Math.sqrt(into);
        }
      }
    }
    await model.writeWeight(a, values);
  }
}

function distinct(spans: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  return [...groupBy(spans, String).values()].map((same) => same[0] as readonly [number, number]);
}
