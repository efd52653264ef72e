import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { SubsetResult } from "../results.ts";
import type { Items, SubsetsOptions } from "./options.ts";

/** Accuracy without every set of at most `size` heads, the empty one included. */
export async function subsets(
  _model: Model,
  _items: Items,
  _options: SubsetsOptions = {},
): Promise<SubsetResult> {
  throw new KeyheadsError("INTERNAL", "subsets: being written");
}
