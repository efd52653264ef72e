// Queries, keys and values as senders: what the effect would be if they alone took their values on
// X_c. A sender is one head (of keys and values one group) at all chosen positions.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model, SiteOptions } from "../../model.ts";
import type { Positions } from "../options.ts";
import type { Pair } from "../pairs.ts";
import { minus } from "./sender-values.ts";

export const partKinds = ["q", "k", "v"] as const;
export type PartKind = (typeof partKinds)[number];

export interface Part {
  readonly kind: PartKind;
  readonly layer: number;
  /** Of k and v: the group. */
  readonly head: number;
}

/** All queries, then all keys, then all values, layer by layer. */
export function allParts({ layers, heads, kvHeads }: ModelSpec): Part[] {
  return partKinds.flatMap((kind) =>
    Array.from({ length: layers }, (_, layer) =>
      Array.from({ length: kind === "q" ? heads : kvHeads }, (_, head) => ({ kind, layer, head })),
    ).flat(),
  );
}

const layersOf = ({ layers }: ModelSpec) => Array.from({ length: layers }, (_, layer) => layer);

/** One site a kind and layer, in the order of `allParts`. */
export function partSites(spec: ModelSpec, positions: Positions): SiteOptions[] {
  return partKinds.flatMap((kind) =>
    layersOf(spec).map((layer) => ({ hook: hooks[kind](layer), positions })),
  );
}

export const patternSites = (spec: ModelSpec): SiteOptions[] =>
  layersOf(spec).map((layer) => ({ hook: hooks.pattern(layer) }));

export interface PartValues {
  /** At `partSites`, on X_c. */
  readonly counterfactual: readonly FloatArray[];
  /** The same minus X_r's. */
  readonly difference: readonly FloatArray[];
}

export async function partValues(
  model: Model,
  pairs: readonly Pair[],
  positions: Positions,
  call: CallOptions,
): Promise<PartValues> {
  const captures = partSites(model.spec, positions);
  const read = async (sequences: readonly (readonly number[])[]) =>
    (await model.forward({ sequences, captures, ...call })).captures;
  const reference = await read(pairs.map((pair) => pair.reference));
  const counterfactual = await read(pairs.map((pair) => pair.counterfactual));
  const difference = counterfactual.map((values, s) => minus(values, reference[s] as FloatArray));
  return { counterfactual, difference };
}

/** The slot of `partSites` that holds a part's kind and layer. */
export const slotOf = ({ layers }: ModelSpec, { kind, layer }: Part): number =>
  partKinds.indexOf(kind) * layers + layer;

/** Of every part and item: the sum over rows of difference times gradient. */
export function partProducts(
  spec: ModelSpec,
  parts: readonly Part[],
  difference: readonly FloatArray[],
  gradient: readonly FloatArray[],
  starts: Int32Array,
): Float64Array[] {
  return parts.map((one) => {
    const slot = slotOf(spec, one);
    const [a, b] = [difference[slot] as FloatArray, gradient[slot] as FloatArray];
    const width = (one.kind === "q" ? spec.heads : spec.kvHeads) * spec.dHead;
    return Float64Array.from({ length: starts.length - 1 }, (_, item) => {
      let sum = 0;
      for (let row = starts[item] as number; row < (starts[item + 1] as number); ++row) {
        const at = row * width + one.head * spec.dHead;
        for (let c = at; c < at + spec.dHead; ++c) sum += (a[c] as number) * (b[c] as number);
      }
      return sum;
    });
  });
}

/**
 * The QK fix (Kramár et al. 2024, arXiv 2403.00745, section 3.1.1): how the patterns of each layer
 * change when its queries (or keys) take their values on X_c, by running the one layer again. A
 * saturated softmax has no slope, but its change is exact here. [kind q or k][layer], each laid out
 * as patterns are.
 */
export async function patternChanges(
  model: Model,
  pairs: readonly Pair[],
  { counterfactual }: PartValues,
  positions: Positions,
  call: CallOptions,
): Promise<Record<"q" | "k", FloatArray[]>> {
  const { spec } = model;
  const sequences = pairs.map((pair) => pair.reference);
  const { captures } = await model.forward({
    sequences,
    captures: layersOf(spec).flatMap((layer) => [
      { hook: hooks.resid_pre(layer) },
      { hook: hooks.pattern(layer) },
    ]),
    ...call,
  });
  const changed = async (kind: "q" | "k") => {
    const changes: FloatArray[] = [];
    for (const layer of layersOf(spec)) {
      const value = counterfactual[slotOf(spec, { kind, layer, head: 0 })] as FloatArray;
      const run = await model.forward({
        sequences,
        startAtLayer: layer,
        residual: captures[2 * layer] as FloatArray,
        stopAtLayer: layer + 1,
        edits: [{ hook: hooks[kind](layer), positions, op: "set", value }],
        captures: [{ hook: hooks.pattern(layer) }],
        ...call,
      });
      changes.push(minus(run.captures[0] as FloatArray, captures[2 * layer + 1] as FloatArray));
    }
    return changes;
  };
  return { q: await changed("q"), k: await changed("k") };
}

/** Of a query or key and every item: the sum over its patterns of change times gradient. */
export function patternProducts(
  spec: ModelSpec,
  { kind, head }: Part,
  change: FloatArray,
  gradient: FloatArray,
  pairs: readonly Pair[],
): Float64Array {
  const shared = kind === "q" ? 1 : spec.heads / spec.kvHeads;
  let start = 0;
  return Float64Array.from(pairs, ({ reference }) => {
    const square = reference.length ** 2;
    const from = start + head * shared * square;
    let sum = 0;
    for (let i = from; i < from + shared * square; ++i) {
      sum += (change[i] as number) * (gradient[i] as number);
    }
    start += spec.heads * square;
    return sum;
  });
}
