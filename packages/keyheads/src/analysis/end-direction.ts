// The direction of an item's answer in what each part writes: straight through the final norm, and
// through the norm that follows the part where the model has one, all scales frozen.
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";

/** Gains of the norms after attention or MLP of every layer; undefined where there are none. */
export type PostNorms = readonly (FloatArray | undefined)[];

export async function readPostNorms(
  model: Model,
  slot: "attnPostNorm" | "mlpPostNorm",
  call: CallOptions,
): Promise<PostNorms> {
  const { layers, normPlacement, normPlusOne } = model.spec;
  const norms: (FloatArray | undefined)[] = [];
  for (let layer = 0; layer < layers; ++layer) {
    if (normPlacement === "pre") {
      norms.push(undefined);
      continue;
    }
    const gain = await model.readWeight({ slot, layer }, call);
    norms.push(normPlusOne ? gain.map((value) => 1 + value) : gain);
  }
  return norms;
}

/** `direction` for what stands before a norm with this gain; `scale` is the norm's in this run. */
export function before(
  gain: FloatArray | undefined,
  direction: Float64Array,
  scale: number | undefined,
): Float64Array {
  if (!gain || scale === undefined) return direction;
  return direction.map((value, d) => (value * (gain[d] as number)) / scale);
}

export function dot(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; ++i) sum += (x[i] as number) * (y[i] as number);
  return sum;
}

export function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; ++i) total += values[i] as number;
  return total;
}

/** x W for W [out, width] and x [out]: one number a column. */
export function timesColumns(x: Float64Array, weights: FloatArray, width: number): Float64Array {
  const sums = new Float64Array(width);
  for (let row = 0; row < x.length; ++row) {
    const factor = x[row] as number;
    const from = row * width;
    for (let i = 0; i < width; ++i) {
      sums[i] = (sums[i] as number) + factor * (weights[from + i] as number);
    }
  }
  return sums;
}

/** Column i of W [out, width], [out]. */
export function columnOf(weights: FloatArray, width: number, i: number): Float64Array {
  return Float64Array.from({ length: weights.length / width }, (_, row) => {
    return weights[row * width + i] as number;
  });
}
