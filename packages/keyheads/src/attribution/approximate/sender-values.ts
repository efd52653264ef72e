// What heads and MLPs would change by: their values on X_c minus those on X_r, in the layout of the
// engine's sweep, and the product with a gradient of the same layout.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { concatenate, part } from "../../float-arrays.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model, SiteOptions } from "../../model.ts";
import { captureBank, type FullBank } from "../capture.ts";
import type { Component } from "../component.ts";
import type { Positions } from "../options.ts";
import type { Pair } from "../pairs.ts";

/** z and MLP outputs on X_c minus those on X_r: of END, or of every row. */
export async function senderDifferences(
  model: Model,
  pairs: readonly Pair[],
  positions: Positions,
  call: CallOptions,
): Promise<FullBank> {
  const of = async (sequences: readonly (readonly number[])[]) =>
    (await captureBank(model, sequences, positions, call)).bank;
  const reference = await of(pairs.map((pair) => pair.reference));
  const counterfactual = await of(pairs.map((pair) => pair.counterfactual));
  return {
    z: minus(counterfactual.z, reference.z),
    mlp: minus(counterfactual.mlp, reference.mlp),
    rows: reference.rows,
  };
}

export function minus(a: FloatArray, b: FloatArray): FloatArray {
  return a.map((value, i) => value - (b[i] as number));
}

/** The sites at which senders are replaced, in the order of a bank. */
export function senderSites({ layers }: ModelSpec, positions: Positions): SiteOptions[] {
  const each = Array.from({ length: layers }, (_, layer) => layer);
  return [
    ...each.map((layer) => ({ hook: hooks.z(layer), positions })),
    ...each.map((layer) => ({ hook: hooks.mlp_out_raw(layer), positions })),
  ];
}

/** What was read at `senderSites`, as a bank. */
export function toBank(spec: ModelSpec, arrays: readonly FloatArray[]): FullBank {
  const z = concatenate(arrays.slice(0, spec.layers));
  const mlp = concatenate(arrays.slice(spec.layers));
  return { z, mlp, rows: mlp.length / (spec.layers * spec.dModel) };
}

/** Which rows of a bank belong to an item: [starts[i], starts[i + 1]). */
export function rowStarts(pairs: readonly Pair[], positions: Positions): Int32Array {
  const starts = new Int32Array(pairs.length + 1);
  pairs.forEach(({ reference }, i) => {
    starts[i + 1] = (starts[i] as number) + (positions === "end" ? 1 : reference.length);
  });
  return starts;
}

/** Of every sender and item: the sum over rows of difference times gradient. */
export function products(
  spec: ModelSpec,
  senders: readonly Component[],
  difference: FullBank,
  gradient: FullBank,
  starts: Int32Array,
): Float64Array[] {
  return senders.map(({ layer, head }) => {
    const kind = head < 0 ? "mlp" : "z";
    const [a, b] = [
      part(difference[kind], layer, spec.layers),
      part(gradient[kind], layer, spec.layers),
    ];
    const width = head < 0 ? spec.dModel : spec.heads * spec.dHead;
    const [from, size] = head < 0 ? [0, spec.dModel] : [head * spec.dHead, spec.dHead];
    const sums = new Float64Array(starts.length - 1);
    for (let item = 0; item < sums.length; ++item) {
      for (let row = starts[item] as number; row < (starts[item + 1] as number); ++row) {
        const at = row * width + from;
        for (let c = at; c < at + size; ++c) {
          sums[item] = (sums[item] as number) + (a[c] as number) * (b[c] as number);
        }
      }
    }
    return sums;
  });
}
