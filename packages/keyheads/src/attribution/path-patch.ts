import type { Model } from "../model.ts";
import type { IdentifyResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { identify } from "./identify.ts";
import type { IdentifyOptions } from "./options.ts";

export type PathPatchOptions = Omit<IdentifyOptions, "method" | "positions"> & {
  readonly method?: "exact" | "naive";
};

/**
 * Path patching, sender -> logits at END: the direct effect of every head and MLP.
 *
 * @example
 * const effects = await pathPatch(model, items);
 * console.log(effects.keyHeads); // ["2.2", "2.1"]
 */
export function pathPatch(
  model: Model,
  items: ItemSet | readonly Item[],
  options: PathPatchOptions = {},
): Promise<IdentifyResult> {
  return identify(model, items, { ...options, method: options.method ?? "exact" });
}
