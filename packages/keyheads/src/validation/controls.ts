// Negative controls: where nothing can be found, is nothing found? X_c = X_r has no difference to
// trace; an untrained model has learnt nothing that could be in a head.
import { performance } from "node:perf_hooks";
import { identify } from "../attribution/identify.ts";
import type { IdentifyOptions } from "../attribution/options.ts";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import type { CallOptions, Model } from "../model.ts";
import type { ControlsResult, IdentifyResult } from "../results.ts";
import { negativeControl } from "./negative-control.ts";
import type { Items } from "./options.ts";
import { untrained } from "./untrained.ts";

export interface ControlsOptions extends CallOptions {
  /** Family-wise level of the max-T test; 0.05. */
  readonly alpha?: number;
  /** Least share of the total effect; 0.01. */
  readonly minimumShare?: number;
  readonly draws?: number;
  readonly seed?: number;
}

/**
 * Path patching where it must find nothing. In the untrained model key heads are those that a max-T
 * test finds, since every head of any network changes the logits a little. By its level, one control
 * in twenty may fail by chance.
 */
export async function controls(
  model: Model,
  items: Items,
  options: ControlsOptions = {},
): Promise<ControlsResult> {
  const started = performance.now();
  const { alpha = 0.05, minimumShare = 0.01, seed = 0, signal, draws } = options;
  const call: CallOptions = signal ? { signal } : {};
  const shared: IdentifyOptions = { ...call, seed, ...(draws !== undefined && { draws }) };
  const self = await negativeControl(model, items, shared);
  options.onProgress?.(1, 2);
  using random = await untrained(model, seed, call);
  const result = await identify(random, items, {
    ...shared,
    significance: { alpha, minimumShare },
    // What an untrained model answers is chance: no pair says more than another.
    excludeUnchanged: false,
  });
  options.onProgress?.(2, 2);
  const nothing = ({ keyHeads, keyMlps }: IdentifyResult) => keyHeads.length + keyMlps.length === 0;
  const { keyHeads, keyMlps, validity, totalEffect, headP, mlpP } = result;
  const p = [...(headP ?? []).flat(), ...(mlpP ?? [])];
  const ofSelf = {
    ...{ largest: self.largest, at: self.at },
    keyHeads: self.result.keyHeads,
    keyMlps: self.result.keyMlps,
    pass: nothing(self.result),
  };
  const ofUntrained = {
    ...{ seed, alpha, minimumShare, accuracy: validity.referenceAccuracy, totalEffect },
    ...{ smallestP: Math.min(...p), keyHeads, keyMlps, pass: nothing(result) },
  };
  return {
    items: { used: itemsOf(items).length, dropped: droppedOf(items) },
    ...{ self: ofSelf, untrained: ofUntrained, pass: ofSelf.pass && ofUntrained.pass },
    seconds: (performance.now() - started) / 1000,
  };
}
