// Effects of every sender on every item, by patching or by an approximation.
import type { Model } from "../model.ts";
import { type Approximated, approximate } from "./approximate/approximate.ts";
import { approximationOptions, type Choice, isApproximate } from "./check-method.ts";
import type { Component } from "./component.ts";
import type { Effect, Guard } from "./effects.ts";
import type { IdentifyOptions } from "./options.ts";
import type { Pair } from "./pairs.ts";
import { type Patching, patchSenders } from "./patch.ts";
import type { BaseReading } from "./reading.ts";
import { effectsOfRuns } from "./summary.ts";

export type Chosen = Choice & { readonly senders: readonly Component[]; readonly batch: number };

export async function effectsBy(
  model: Model,
  pairs: readonly Pair[],
  { method, ...chosen }: Chosen,
  options: IdentifyOptions,
  metric: { effect: Effect; guard: Guard; reference: BaseReading },
): Promise<Approximated> {
  if (isApproximate(method)) {
    const approximation = { ...chosen, ...approximationOptions(method, options) };
    return await approximate(model, pairs, approximation, metric, options);
  }
  const { effect, guard, reference } = metric;
  const patching: Patching = { ...chosen, method, logsumexp: effect.needsLogsumexp };
  const patched = await patchSenders(model, pairs, patching, options);
  return effectsOfRuns(effect, reference, patched, guard);
}
