// At which layers the answer comes into the residual stream, by an algorithm instead of by eye.
import type { LensResult } from "../results.ts";

/** A curve that does not rise by this, or never exceeds the baseline by it, has no phases. */
export const smallestRise = 0.05;

/**
 * `curve[l]` is the cosine of MLP_out at layer l with the answer, minus the baseline; `before` is
 * the same of MLP_in at layer 0. With the peak at the largest value, low the smallest value before
 * it, and range = peak - low:
 *
 * - start: the first layer from which the curve stays above low + 10 % of range up to the peak
 * - inflection: the layer of the largest rise from the layer before, between start and end
 * - end: the first layer that reaches low + 90 % of range
 *
 * All null if the peak, or its rise above low, is below 0.05.
 */
export function mlpPhases(curve: readonly number[], before: number): LensResult["mlpPhases"] {
  const peak = Math.max(...curve);
  const top = curve.indexOf(peak);
  const values = [before, ...curve.slice(0, top + 1)];
  const low = Math.min(...values);
  const range = peak - low;
  if (!(Math.min(peak, range) >= smallestRise)) return { start: null, inflection: null, end: null };
  const above = (share: number) => (value: number) => value > low + share * range;
  // Layer l is values[l + 1]; the first layer is 0 even if the stream had the answer before it.
  const start = Math.max(
    0,
    values.findLastIndex((value) => !above(0.1)(value)),
  );
  const end = Math.max(start, Math.max(1, values.findIndex(above(0.9 - 1e-9))) - 1);
  let inflection = start;
  const rise = (layer: number) => (values[layer + 1] as number) - (values[layer] as number);
  for (let layer = start; layer <= end; ++layer) {
    if (rise(layer) > rise(inflection)) inflection = layer;
  }
  return { start, inflection, end };
}
