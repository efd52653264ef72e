import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import type { LensResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";

export interface LensOptions extends CallOptions {
  /** Most frequent top tokens listed per layer; 5. */
  readonly topTokens?: number;
  readonly seed?: number;
  readonly batch?: number;
}

/** Logit lens, MLP cosines and direct logit attribution at END, layer by layer. */
export async function lens(
  _model: Model,
  _items: ItemSet | readonly Item[],
  _options: LensOptions = {},
): Promise<LensResult> {
  throw new KeyheadsError("INTERNAL", "lens: being written");
}
