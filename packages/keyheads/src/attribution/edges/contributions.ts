// What every sender would add to the residual stream if it alone took its value on X_c, minus what it
// adds on X_r. Where a norm follows attention, a head's share is not a term of its own: the norm of the
// whole new output is taken, as path patching does.
import type { FloatArray } from "@keyheads/native";
import { splitHeads } from "../../float-arrays.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model } from "../../model.ts";
import { sum } from "../../statistics/bootstrap.ts";
import { minus } from "../approximate/sender-values.ts";
import type { Positions } from "../options.ts";
import type { Pair } from "../pairs.ts";

/** One array a sender of the graph, [rows, dModel]: of END, or of every row. */
export async function contributions(
  model: Model,
  pairs: readonly Pair[],
  positions: Positions,
  call: CallOptions,
): Promise<FloatArray[]> {
  const { spec } = model;
  const { layers, normPlacement } = spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const names = [
    hooks.resid_pre(0),
    ...each.flatMap((layer) => [
      hooks.result(layer),
      hooks.mlp_out(layer),
      hooks.attn_out_raw(layer),
    ]),
  ];
  const captures = names.map((hook) => ({ hook, positions }));
  const read = async (sequences: readonly (readonly number[])[]) =>
    (await model.forward({ sequences, captures, ...call })).captures;
  const reference = await read(pairs.map((pair) => pair.reference));
  const counterfactual = await read(pairs.map((pair) => pair.counterfactual));
  const change = (i: number) => minus(counterfactual[i] as FloatArray, reference[i] as FloatArray);
  const out = [change(0)];
  for (const layer of each) {
    const raw = reference[3 * layer + 3] as FloatArray;
    const norm = normPlacement === "pre" ? undefined : await postNorm(model, layer, call);
    for (const head of splitHeads(change(3 * layer + 1), spec.heads, spec.dModel)) {
      out.push(norm ? minus(norm(plus(raw, head)), norm(raw)) : head);
    }
    out.push(change(3 * layer + 2));
  }
  return out;
}

const plus = (a: FloatArray, b: FloatArray): FloatArray => a.map((x, i) => x + (b[i] as number));

/** The norm after attention, of rows. */
export async function postNorm(
  model: Model,
  layer: number,
  call: CallOptions,
): Promise<(rows: FloatArray) => FloatArray> {
  const { dModel, norm, normEps, normPlusOne } = model.spec;
  const gain = await model.readWeight({ slot: "attnPostNorm", layer }, call);
  return (rows) => {
    const out = rows.slice();
    for (let from = 0; from < rows.length; from += dModel) {
      const row = Float64Array.from(rows.subarray(from, from + dModel));
      const mean = norm === "layer" ? sum(row) / dModel : 0;
      const square = sum(row.map((x) => (x - mean) ** 2)) / dModel;
      const scale = Math.sqrt(square + normEps);
      for (let c = 0; c < dModel; ++c) {
        const weight = (gain[c] as number) + (normPlusOne ? 1 : 0);
        out[from + c] = (((row[c] as number) - mean) / scale) * weight;
      }
    }
    return out;
  };
}
