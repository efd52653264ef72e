// Mean exact effect of every edge.
import type { CallOptions, Model } from "../../model.ts";
import type { Item, ItemSet } from "../../tasks/items.ts";
import { edgeNames } from "../approximate/describe.ts";
import { chooseEffect } from "../effects.ts";
import { guardOf } from "../measure.ts";
import type { IdentifyOptions } from "../options.ts";
import { itemsOf, makePairs } from "../pairs.ts";
import { readRuns } from "../reading.ts";
import { meanPresent } from "../summary.ts";
import { exactEdges } from "./exact.ts";
import { edgeGraph } from "./graph.ts";

export interface MeanEdge {
  readonly from: string;
  readonly to: string;
  readonly effect: number;
}

/** In the order of the graph. All positions by default, which needs pairs of equal length. */
export async function exactEdgeEffects(
  model: Model,
  items: ItemSet | readonly Item[],
  options: CallOptions & Pick<IdentifyOptions, "effect" | "positions" | "guard"> = {},
): Promise<MeanEdge[]> {
  const { positions = "all", signal } = options;
  const pairs = makePairs(itemsOf(items), "own", positions, 0);
  const effect = chooseEffect(options.effect, pairs);
  const call: CallOptions = signal ? { signal } : {};
  const reference = await readRuns(model, pairs, (pair) => pair.reference, pairs.length, call);
  const metric = { pairs, effect, reference, guard: guardOf(options) };
  const scores = await exactEdges(model, metric, positions, options);
  const count = pairs.length;
  return edgeNames(edgeGraph(model.spec)).map((names, edge) => ({
    ...names,
    effect: meanPresent(scores.subarray(edge * count, (edge + 1) * count)),
  }));
}
