// The three effects of every head and MLP: direct (path patching), total at END, total everywhere
// (activation patching).
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import type { IdentifyResult } from "../../results.ts";
import type { Item, ItemSet } from "../../tasks/items.ts";
import { identify } from "../identify.ts";
import type { IdentifyOptions } from "../options.ts";

export interface SideBySide {
  readonly direct: IdentifyResult;
  readonly totalEnd: IdentifyResult;
  /** Absent where X_r and X_c of some pair differ in length; `why` names it. */
  readonly totalAll?: IdentifyResult;
  readonly why?: string;
}

/**
 * A head with a large total effect and no direct one is upstream: it computes what others carry to END.
 *
 * @example
 * const { direct, totalEnd, totalAll } = await sideBySide(model, items);
 */
export async function sideBySide(
  model: Model,
  items: ItemSet | readonly Item[],
  options: Omit<IdentifyOptions, "method" | "positions"> = {},
): Promise<SideBySide> {
  const { mlpPath, ...rest } = options;
  const direct = await identify(model, items, { ...rest, ...(mlpPath && { mlpPath }) });
  const total = { ...rest, method: "activation" } as const;
  const totalEnd = await identify(model, items, total);
  try {
    const totalAll = await identify(model, items, { ...total, positions: "all" });
    return { direct, totalEnd, totalAll };
  } catch (error) {
    if (!(error instanceof KeyheadsError) || error.code !== "BAD_ITEMS") throw error;
    return { direct, totalEnd, why: error.message };
  }
}
