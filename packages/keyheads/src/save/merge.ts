// Added weights put into the weights that a model's files have a place for: W + scale B A, and offsets of
// z as what they add to the output's bias.
import type { AddedWeights, FloatArray, MatrixSlot, Slice, SlotRef } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { slotKey, slotShape } from "../load/slots.ts";
import type { Model } from "../model.ts";
import { wholeSlice } from "../tuning/slots.ts";

/** Bakes in what the model's delta added, and forgets it. Gives the slices that this changed. */
export async function mergeDelta(model: Model): Promise<Slice[]> {
  const slices = await mergeAdded(model, model.delta.added ?? []);
  model.forgetAdded();
  return slices;
}

/**
 * Bakes added weights in and takes them away. Gives the slices that this changed. Throws USAGE for
 * an offset in a model without a bias of the output, which could not hold it.
 */
export async function mergeAdded(model: Model, added: readonly AddedWeights[]): Promise<Slice[]> {
  const slices: Slice[] = [];
  for (const one of added) {
    slices.push("rank" in one ? await mergeLowRank(model, one) : await mergeOffset(model, one));
  }
  await model.removeWeights();
  return slices;
}

async function mergeLowRank(
  model: Model,
  ref: SlotRef<MatrixSlot> & { readonly rank: number; readonly scale: number },
): Promise<Slice> {
  const { rank, scale, slot, layer, expert } = ref;
  const at = { layer, ...(expert !== undefined && { expert }) };
  const w = await model.readWeight({ ...at, slot });
  const a = await model.readWeight({ ...at, slot: `${slot}.loraA` });
  const b = await model.readWeight({ ...at, slot: `${slot}.loraB` });
  addProduct(w, b, a, rank, scale);
  await model.writeWeight({ ...at, slot }, w);
  return wholeSlice({ ...at, slot }, model.spec);
}

/** w [n, k] += scale b [n, rank] a [rank, k] */
export function addProduct(
  w: FloatArray,
  b: ArrayLike<number>,
  a: ArrayLike<number>,
  rank: number,
  scale: number,
): void {
  const into = a.length / rank;
  const row = new Float64Array(into);
  for (let n = 0; n < w.length / into; ++n) {
    row.fill(0);
    for (let r = 0; r < rank; ++r) {
      const factor = scale * (b[n * rank + r] as number);
      if (factor === 0) continue;
      for (let k = 0; k < into; ++k)
        row[k] = (row[k] as number) + factor * (a[r * into + k] as number);
    }
    for (let k = 0; k < into; ++k) {
      if (row[k] !== 0) w[n * into + k] = (w[n * into + k] as number) + (row[k] as number);
    }
  }
}

async function mergeOffset(model: Model, { layer }: SlotRef<"zOffset">): Promise<Slice> {
  const bias: SlotRef = { slot: "bo", layer };
  if (!model.files.slots.some((source) => slotKey(source) === slotKey(bias))) {
    throw new KeyheadsError(
      "USAGE",
      `${model.architecture} models have no bias of the attention's output, which an offset of heads would have to be baked into; keep the delta file and load the model with it`,
    );
  }
  const offset = await model.readWeight({ slot: "zOffset", layer });
  const wo = await model.readWeight({ slot: "wo", layer });
  const bo = await model.readWeight(bias);
  const [out, into = 1] = slotShape("wo", model.spec);
  for (let n = 0; n < out; ++n) {
    let sum = bo[n] as number;
    for (let k = 0; k < into; ++k) sum += (wo[n * into + k] as number) * (offset[k] as number);
    bo[n] = sum;
  }
  await model.writeWeight(bias, bo);
  return wholeSlice(bias, model.spec);
}
