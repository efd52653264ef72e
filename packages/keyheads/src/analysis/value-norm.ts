// |pattern * v W_O|: attention to a token whose value is small, or is turned into nothing by W_O,
// moves nothing (Kobayashi et al. 2020, arXiv 2004.10102). |v W_O|^2 = v G v with G = W_O W_O^T of
// the head, so that a token costs dHead^2 instead of dHead * dModel.
import type { FloatArray } from "@keyheads/native";

/** G [dHead, dHead] of one head, from W_O as [dModel, heads * dHead]. */
export function outputGram(
  wo: FloatArray,
  heads: number,
  dHead: number,
  head: number,
): Float64Array {
  const width = heads * dHead;
  const gram = new Float64Array(dHead * dHead);
  for (let row = 0; row < wo.length / width; ++row) {
    const from = row * width + head * dHead;
    for (let i = 0; i < dHead; ++i) {
      const left = wo[from + i] as number;
      for (let j = 0; j < dHead; ++j) {
        gram[i * dHead + j] = (gram[i * dHead + j] as number) + left * (wo[from + j] as number);
      }
    }
  }
  return gram;
}

/** |v W_O| of the value v = values[from .. from + dHead). */
export function outputNorm(gram: Float64Array, values: FloatArray, from: number): number {
  const dHead = Math.sqrt(gram.length);
  let square = 0;
  for (let i = 0; i < dHead; ++i) {
    let sum = 0;
    for (let j = 0; j < dHead; ++j) {
      sum += (gram[i * dHead + j] as number) * (values[from + j] as number);
    }
    square += (values[from + i] as number) * sum;
  }
  return Math.sqrt(Math.max(0, square));
}
