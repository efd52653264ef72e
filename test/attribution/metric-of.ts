// The mean effect of an edited run, by one plain forward pass.
import { effectOf } from "../../packages/keyheads/src/attribution/effects.ts";
import { makePairs } from "../../packages/keyheads/src/attribution/pairs.ts";
import {
  emptyReading,
  pairReadout,
  storeReading,
} from "../../packages/keyheads/src/attribution/reading.ts";
import { itemEffects } from "../../packages/keyheads/src/attribution/summary.ts";
import type { HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import type { EffectName } from "../../packages/keyheads/src/results.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";

const guard = { logit: 0.01, probability: 1e-9 };

/** Gives the mean effect, over the items, of X_r under edits. */
export async function metricOf(model: Model, items: readonly Item[], name: EffectName) {
  const pairs = makePairs(items, "own", "end", 0);
  const sequences = items.map(({ reference }) => reference);
  const effect = effectOf(name, true);
  const read = async (edits: readonly HookEdit[]) => {
    const reading = emptyReading(pairs.length);
    const run = await model.forward({ sequences, edits, readout: pairReadout(pairs, true) });
    storeReading(reading, 0, run, 0, pairs.length);
    return reading;
  };
  const reference = await read([]);
  return async (edits: readonly HookEdit[]) => {
    const effects = itemEffects(effect, reference, await read(edits), guard);
    return effects.reduce((sum, value) => sum + value, 0) / effects.length;
  };
}
