// Direct logit attribution: what one addition to the residual stream at END gives the answer's logit
// (above the mean logit) straight through the final norm, whose scale is frozen at what it was.
// What all parts give adds up to the logit, before a soft-cap bends it and without the biases of the
// final norm and the unembedding; norms in between are ignored, hence "direct".
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";
import { dot } from "./end-direction.ts";

export interface DirectLogit {
  /**
   * What an addition is multiplied by, [dModel]. `row` is the answer's centred unembedding row;
   * `scale` the final norm's of this run.
   */
  direction(row: Float64Array, scale: number): Float64Array;
  projection(row: Float64Array, scale: number): (addition: FloatArray) => number;
}

export async function readDirect(model: Model, call: CallOptions): Promise<DirectLogit> {
  const gain = await model.readWeight({ slot: "finalNorm", layer: -1 }, call);
  const { norm, normPlusOne } = model.spec;
  const one = normPlusOne ? 1 : 0;
  const centred = norm === "layer";
  const direction = (row: Float64Array, scale: number) => {
    const through = row.map((value, d) => (value * (one + (gain[d] as number))) / scale);
    const shift = centred ? through.reduce((a, b) => a + b, 0) / through.length : 0;
    return through.map((value) => value - shift);
  };
  return {
    direction,
    projection: (row, scale) => {
      const along = direction(row, scale);
      return (addition) => dot(along, addition);
    },
  };
}
