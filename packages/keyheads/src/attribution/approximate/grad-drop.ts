// GradDrop (Kramár et al. 2024, arXiv 2403.00745, section 3.1.2): effects that reach the answer along
// two ways may cancel in one gradient. So the gradient is taken once for every layer with what that
// layer's attention and MLP add held constant, and the magnitudes are averaged:
//
//   1 / (L - 1) * sum over layers l of |(value on X_c - value on X_r) . gradient without layer l|
//
// L - 1, since a sender of layer l has no gradient in the run that drops layer l. The paper's score
// has no sign; here it takes that of the sum over drops and items.
import type { FloatArray } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import type { CallOptions, HookEdit, Model } from "../../model.ts";
import type { Pair } from "../pairs.ts";

/** One set of edits a drop: outputs that are set to their own values pass no gradient on. */
export async function drops(
  model: Model,
  pairs: readonly Pair[],
  call: CallOptions,
): Promise<HookEdit[][]> {
  const { layers } = model.spec;
  const sequences = pairs.map((pair) => pair.reference);
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const sites = each.flatMap((layer) => [hooks.attn_out(layer), hooks.mlp_out(layer)]);
  const { captures } = await model.forward({
    sequences,
    captures: sites.map((hook) => ({ hook })),
    ...call,
  });
  const hold = (s: number): HookEdit => ({
    hook: sites[s] as string,
    op: "set",
    value: captures[s] as FloatArray,
  });
  return each.map((layer) => [hold(2 * layer), hold(2 * layer + 1)]);
}

/** What drops gave, of one sender: magnitudes a single item, and the sum that decides the sign. */
export interface Dropped {
  /** [items] */
  readonly magnitude: Float64Array;
  readonly signed: number;
}

/** `byDrop`: one array a layer, [items]. */
export function averageDrops(byDrop: readonly Float64Array[]): Dropped {
  const items = byDrop[0]?.length ?? 0;
  const counted = Math.max(1, byDrop.length - 1);
  const magnitude = new Float64Array(items);
  let signed = 0;
  for (const values of byDrop) {
    values.forEach((value, item) => {
      magnitude[item] = (magnitude[item] as number) + Math.abs(value) / counted;
      signed += value;
    });
  }
  return { magnitude, signed };
}

/** Chunks of items of one sender, with one sign for all. */
export function withSign(chunks: readonly Dropped[]): Float64Array {
  const sign = Math.sign(chunks.reduce((sum, { signed }) => sum + signed, 0));
  return Float64Array.from(chunks.flatMap(({ magnitude }) => [...magnitude]).map((m) => sign * m));
}
