import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { IdentifyResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import type { IdentifyOptions } from "./options.ts";

/** Effect of every head and MLP on the answer. */
export async function identify(
  _model: Model,
  _items: ItemSet | readonly Item[],
  _options: IdentifyOptions = {},
): Promise<IdentifyResult> {
  throw new KeyheadsError("INTERNAL", "identify: being written");
}
