// Direct logit attribution: what one addition to the residual stream at END gives the answer's logit
// (above the mean logit) straight through the final norm, whose scale is frozen at what it was.
// What all parts give adds up to the logit, before a soft-cap bends it and without the biases of the
// final norm and the unembedding; norms in between are ignored, hence "direct".
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";

export interface DirectLogit {
  /** `row` is the answer's centred unembedding row; `scale` the final norm's of this run. */
  projection(row: Float64Array, scale: number): (addition: FloatArray) => number;
}

export async function readDirect(model: Model, call: CallOptions): Promise<DirectLogit> {
  const gain = await model.readWeight({ slot: "finalNorm", layer: -1 }, call);
  const { norm, normPlusOne } = model.spec;
  const one = normPlusOne ? 1 : 0;
  const centred = norm === "layer";
  return {
    projection: (row, scale) => {
      const direction = row.map((value, d) => (value * (one + (gain[d] as number))) / scale);
      const shift = centred ? direction.reduce((a, b) => a + b, 0) / direction.length : 0;
      return (addition) => {
        let sum = 0;
        for (let d = 0; d < direction.length; ++d) {
          sum += (addition[d] as number) * ((direction[d] as number) - shift);
        }
        return sum;
      };
    },
  };
}
