import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { KnockoutResult } from "../results.ts";
import type { Items, KnockOutOptions } from "./options.ts";

/** Accuracy as heads and MLPs are removed one after the other, beside random sets and a control. */
export async function knockOut(
  _model: Model,
  _items: Items,
  _options: KnockOutOptions,
): Promise<KnockoutResult> {
  throw new KeyheadsError("INTERNAL", "knockOut: being written");
}
