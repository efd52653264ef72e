// What every sender would add to the residual stream if it alone took its value on X_c, minus what it
// adds on X_r. Where a norm follows attention, a head's share is not a term of its own: the norm of the
// whole new output is taken, as path patching does.
import type { FloatArray } from "@keyheads/native";
import { part, zerosLike } from "../../float-arrays.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model } from "../../model.ts";
import { sum } from "../../statistics/bootstrap.ts";
import { minus } from "../approximate/sender-values.ts";
import type { Positions } from "../options.ts";
import type { Pair } from "../pairs.ts";

/** [senders of the graph, rows, dModel], in one array: of END, or of every row. */
export async function contributions(
  model: Model,
  pairs: readonly Pair[],
  positions: Positions,
  call: CallOptions,
): Promise<FloatArray> {
  const { layers, heads, dModel, normPlacement } = model.spec;
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
  const size = (reference[0] as FloatArray).length;
  const senders = 1 + layers * (heads + 1);
  const out = zerosLike(reference[0], senders * size);
  const change = (to: number, capture: number, block = 0, blocks = 1) =>
    subtractBlock(
      part(out, to, senders),
      counterfactual[capture] as FloatArray,
      reference[capture] as FloatArray,
      { dModel, block, blocks },
    );
  change(0, 0);
  for (const layer of each) {
    const first = 1 + layer * (heads + 1);
    const raw = reference[3 * layer + 3] as FloatArray;
    const norm = normPlacement === "pre" ? undefined : await postNorm(model, layer, call);
    const before = norm?.(raw);
    for (let head = 0; head < heads; ++head) {
      const added = change(first + head, 3 * layer + 1, head, heads);
      if (norm && before) added.set(minus(norm(plus(raw, added)), before));
    }
    change(first + heads, 3 * layer + 2);
  }
  return out;
}

const plus = (a: FloatArray, b: FloatArray): FloatArray => a.map((x, i) => x + (b[i] as number));

/** Block `block` of every row of a - b, each of `blocks` blocks; written to `out`, which it gives. */
function subtractBlock(
  out: FloatArray,
  a: FloatArray,
  b: FloatArray,
  { dModel, block, blocks }: { dModel: number; block: number; blocks: number },
): FloatArray {
  for (let to = 0; to < out.length; to += dModel) {
    const from = to * blocks + block * dModel;
    for (let c = 0; c < dModel; ++c)
      out[to + c] = (a[from + c] as number) - (b[from + c] as number);
  }
  return out;
}

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
