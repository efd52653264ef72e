import type { LensResult } from "../../results.ts";
import { decimal, percent, table } from "../table.ts";

/** One row a layer: where the answer stands, and what attention and MLP write towards it. */
export function lensText({ items, layers, mlpPhases }: LensResult): string {
  const rows = layers.map((layer) => [
    String(layer.layer),
    decimal(layer.answerRank, 1),
    percent(layer.answerProb),
    layer.topTokens
      .slice(0, 3)
      .map(({ token, share }) => `${JSON.stringify(token)} ${percent(share, 0)}`)
      .join(", "),
    decimal(layer.mlpOut.C, 2),
    decimal(layer.mlpDelta.C, 2),
    decimal(layer.attnLogit, 2),
    decimal(layer.mlpLogit, 2),
  ]);
  const header = ["layer", "rank", "prob", "top tokens", "cos out", "cos delta"];
  const { start, inflection, end } = mlpPhases;
  const phase = (layer: number | null) => (layer === null ? "none" : String(layer));
  return [
    `${items.used} items; rank and probability of the answer after each layer\n\n`,
    table([...header, "attn logit", "mlp logit"], rows),
    `\nMLP phases: start ${phase(start)}, inflection ${phase(inflection)}, end ${phase(end)}\n`,
  ].join("");
}
