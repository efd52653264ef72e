// Rows of the output projection, centred: adding one vector to all rows adds a constant to all
// logits, which changes no prediction, so only what differs from the mean row is meant.
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";

export interface Unembedding {
  /** A token's row minus the mean row, [dModel]. */
  row(token: number): Float64Array;
  readonly vocab: number;
}

export async function readUnembedding(model: Model, call: CallOptions): Promise<Unembedding> {
  const { tied, vocab, dModel } = model.spec;
  const weights = await model.readWeight({ slot: tied ? "embed" : "unembed", layer: -1 }, call);
  const mean = new Float64Array(dModel);
  weights.forEach((value, i) => {
    mean[i % dModel] = (mean[i % dModel] as number) + value / vocab;
  });
  return {
    vocab,
    row: (token) =>
      Float64Array.from(
        weights.subarray(token * dModel, (token + 1) * dModel) as FloatArray,
        (value, i) => value - (mean[i] as number),
      ),
  };
}

/** x . y / (|x| |y|); 0 if one is zero. */
export function cosine(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let i = 0; i < x.length; ++i) {
    const a = x[i] as number;
    const b = y[i] as number;
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : 0;
}
