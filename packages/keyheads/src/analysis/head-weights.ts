// Sizes of a head's two products of weights, W_V W_O and W_Q W_K, which the model only has as
// factors: |A B|^2 = tr(A'A BB') needs their Gram matrices, [dHead, dHead], only.
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";
import { dot } from "./end-direction.ts";
import { outputGram } from "./value-norm.ts";

/** Frobenius norms by head. With grouped queries, heads of a group share keys and values. */
export async function headNorms(model: Model, layer: number, wo: FloatArray, call: CallOptions) {
  const { heads, kvHeads, dHead, dModel } = model.spec;
  const [wq, wk, wv] = await Promise.all(
    (["wq", "wk", "wv"] as const).map((slot) => model.readWeight({ slot, layer }, call)),
  );
  const gram = (weights: FloatArray | undefined, head: number) =>
    rowGram(weights as FloatArray, head, dHead, dModel);
  return (head: number) => {
    const group = Math.floor(head / (heads / kvHeads));
    const output = outputGram(wo, heads, dHead, head);
    return {
      ov: Math.sqrt(dot(output, gram(wv, group))),
      qk: Math.sqrt(dot(gram(wq, head), gram(wk, group))),
    };
  };
}

/** A row vector of dModel times the head's columns of W_O [dModel, heads * dHead]: [dHead]. */
export function outputColumns(
  wo: FloatArray,
  row: Float64Array,
  head: number,
  dHead: number,
): Float64Array {
  const width = wo.length / row.length;
  const sums = new Float64Array(dHead);
  for (let d = 0; d < row.length; ++d) {
    const from = d * width + head * dHead;
    for (let i = 0; i < dHead; ++i) {
      sums[i] = (sums[i] as number) + (row[d] as number) * (wo[from + i] as number);
    }
  }
  return sums;
}

/** W W' of the rows of one head in W [heads * dHead, dModel]: [dHead, dHead]. */
function rowGram(weights: FloatArray, head: number, dHead: number, dModel: number): Float64Array {
  const row = (i: number) => {
    const from = (head * dHead + i) * dModel;
    return weights.subarray(from, from + dModel);
  };
  return Float64Array.from({ length: dHead * dHead }, (_, at) => {
    return dot(row(Math.floor(at / dHead)), row(at % dHead));
  });
}
