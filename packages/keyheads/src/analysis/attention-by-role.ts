import type { HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import type { AttendResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";

export interface AttendOptions extends CallOptions {
  /** Default: every head of the model. */
  readonly heads?: readonly HeadRef[];
  readonly draws?: number;
  readonly seed?: number;
  readonly batch?: number;
}

/** Attention of END to each role of the prompt. */
export async function attentionByRole(
  _model: Model,
  _items: ItemSet | readonly Item[],
  _options: AttendOptions = {},
): Promise<AttendResult> {
  throw new KeyheadsError("INTERNAL", "attentionByRole: being written");
}
