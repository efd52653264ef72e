import type { FloatArray } from "@keyheads/native";
import type { Model } from "../model.ts";
import type { CleanRun } from "./context.ts";

/** Output of the final norm, its weight and bias included: [tokens, dModel]. */
export async function finalNorm(model: Model, run: CleanRun): Promise<FloatArray> {
  const { dModel, norm, normPlusOne } = model.spec;
  const one = normPlusOne ? 1 : 0;
  const gain = await model.readWeight({ slot: "finalNorm", layer: -1 });
  const bias = norm === "layer" && (await model.readWeight({ slot: "finalNormBias", layer: -1 }));
  return run.finalNormalized.map(
    (x, i) => x * (one + (gain[i % dModel] as number)) + (bias ? (bias[i % dModel] as number) : 0),
  );
}
