// Which tokens an addition to the residual stream raises and lowers most, through the gain of the
// final norm and the unembedding; a common scale changes no order.
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";
import { dot, sum } from "./end-direction.ts";

/** Names of the tokens with the highest and the lowest logits, the extremes first. */
export type TokenScores = (
  addition: ArrayLike<number>,
  count: number,
) => { top: string[]; bottom: string[] };

export async function readTokenScores(model: Model, call: CallOptions): Promise<TokenScores> {
  const { tied, vocab, dModel, norm, normPlusOne } = model.spec;
  const rows = await model.readWeight({ slot: tied ? "embed" : "unembed", layer: -1 }, call);
  const gain = await model.readWeight({ slot: "finalNorm", layer: -1 }, call);
  const one = normPlusOne ? 1 : 0;
  const name = (token: number) => model.tokenizer?.tokenText(token) ?? `#${token}`;
  return (addition, count) => {
    const mean = norm === "layer" ? sum(addition) / dModel : 0;
    const through = Float64Array.from({ length: dModel }, (_, d) => {
      return ((addition[d] as number) - mean) * (one + (gain[d] as number));
    });
    const logits = Float64Array.from({ length: vocab }, (_, token) => {
      return dot(through, (rows as FloatArray).subarray(token * dModel, (token + 1) * dModel));
    });
    const order = [...logits.keys()].sort((a, b) => (logits[b] as number) - (logits[a] as number));
    return {
      top: order.slice(0, count).map(name),
      bottom: order.slice(-count).reverse().map(name),
    };
  };
}
