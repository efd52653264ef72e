import type { Model } from "../model.ts";
import type { IdentifyResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { identify } from "./identify.ts";
import type { IdentifyOptions } from "./options.ts";

export type PathPatchOptions = Omit<IdentifyOptions, "method"> & {
  readonly method?: "exact" | "naive";
};

/**
 * Path patching of every head and MLP: the direct effect, sender -> logits at END, or with `receivers`
 * that of the path into some heads' queries, keys or values, MLPs' inputs or the residual stream.
 *
 * @example
 * const effects = await pathPatch(model, items);
 * console.log(effects.keyHeads); // ["2.2", "2.1"]
 * const intoQueries = await pathPatch(model, items, {
 *   receivers: [{ input: "q", layer: 2, head: 2 }],
 * });
 */
export function pathPatch(
  model: Model,
  items: ItemSet | readonly Item[],
  options: PathPatchOptions = {},
): Promise<IdentifyResult> {
  return identify(model, items, { ...options, method: options.method ?? "exact" });
}
