// How many items one native call takes, so that its arrays stay small whatever the model's size.
import type { Model } from "../model.ts";
import type { Positions } from "./options.ts";

/** Values of z and MLPs that replace others, in bytes. */
const mostBytes = 64 * 2 ** 20;
const mostTokens = 2 ** 14;
/** Numbers that come back. */
const mostAnswers = 2 ** 22;

/** `longest` is in tokens; `variants` is how many runs of an item come back. */
export function chunkSize(
  model: Model,
  longest: number,
  positions: Positions,
  variants: number,
): number {
  const { layers, heads, dHead, dModel } = model.spec;
  const rows = positions === "end" ? 1 : longest;
  const bytes = rows * layers * (heads * dHead + dModel) * (model.dtype === "f64" ? 8 : 4);
  const most = Math.min(
    mostBytes / bytes,
    mostTokens / Math.max(1, longest),
    mostAnswers / Math.max(1, variants),
  );
  return Math.max(1, Math.floor(most));
}
