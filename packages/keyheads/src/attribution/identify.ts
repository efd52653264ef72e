// Attribution of every head and MLP: screens the pairs, patches every sender, reports mean effects
// with intervals and names the key heads. docs/method.md has the equations.
import { performance } from "node:perf_hooks";
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import type { IdentifyResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { describeApproximated } from "./approximate/describe.ts";
import { checkMethod } from "./check-method.ts";
import { chunkSize } from "./chunk-size.ts";
import { allHeads, allMlps, type Component } from "./component.ts";
import { describe } from "./describe.ts";
import { chooseEffect } from "./effects.ts";
import { effectsBy } from "./effects-by.ts";
import { guardOf, measure } from "./measure.ts";
import type { IdentifyOptions } from "./options.ts";
import { droppedOf, itemsOf, labelledClusters, makePairs, type Pair } from "./pairs.ts";
import { checkReceivers, receiverName } from "./paths/receivers.ts";
import { pickReading, readRuns } from "./reading.ts";
import { screen } from "./validity.ts";

/**
 * Effect of every head and MLP on the answer, as mean(patched - reference).
 *
 * Throws BAD_ITEMS for items without what is asked for (a counterfactual, equal lengths, an answer
 * to X_c) and BAD_ARGUMENT for options that contradict each other.
 *
 * @example
 * const effects = await identify(model, items, { top: 4 });
 * console.log(effects.keyHeads, effects.headShares);
 */
export async function identify(
  model: Model,
  items: ItemSet | readonly Item[],
  options: IdentifyOptions = {},
): Promise<IdentifyResult> {
  const started = performance.now();
  const choice = checkMethod(options);
  const { method, positions, mlpPath, receivers } = choice;
  checkReceivers(receivers, model.spec);
  const kind = options.counterfactual ?? "own";
  const all = makePairs(itemsOf(items), kind, positions, options.seed ?? 0);
  const effect = chooseEffect(options.effect, all);
  const senders = sendersOf(model.spec, options.senders ?? ["heads", "mlps"]);
  const longest = all.reduce(
    (most, pair) => Math.max(most, pair.reference.length, pair.counterfactual.length),
    0,
  );
  const batch = options.batch ?? chunkSize(model, longest, positions, 3 * senders.length);
  const call: CallOptions = options.signal ? { signal: options.signal } : {};

  const ofReference = await readRuns(model, all, (pair) => pair.reference, batch, call);
  const ofCounterfactual = await readRuns(model, all, (pair) => pair.counterfactual, batch, call);
  const { kept, validity } = screen(all, ofReference, ofCounterfactual, {
    onlyCorrect: options.onlyCorrect ?? false,
    excludeUnchanged: options.excludeUnchanged ?? kind !== "self",
  });
  const pairs = kept.map((i) => all[i] as Pair);
  const reference = pickReading(ofReference, kept);
  const counterfactual = pickReading(ofCounterfactual, kept);

  const guard = guardOf(options);
  const found = await effectsBy(model, pairs, { ...choice, senders, batch }, options, {
    ...{ effect, guard, reference },
  });
  const clusters = pairs.map((pair) => pair.cluster);
  const measured = measure(
    { effect, senders, reference, counterfactual, ...found },
    clusters,
    options,
  );
  return {
    items: { used: pairs.length, dropped: droppedOf(items) },
    ...{ method, positions, mlpPath },
    ...(receivers.length > 0 && { receivers: receivers.map(receiverName) }),
    ...describe(model.spec, measured, options),
    ...describeApproximated(model.spec, found, clusters, options),
    validity,
    counterfactualKind: kind,
    clusterCount: new Set(clusters).size,
    clusters: labelledClusters(pairs.map(({ item }) => item)),
    seconds: (performance.now() - started) / 1000,
  };
}

function sendersOf(spec: ModelSpec, kinds: NonNullable<IdentifyOptions["senders"]>): Component[] {
  if (kinds.length === 0)
    throw new KeyheadsError("BAD_ARGUMENT", "no senders: heads, mlps or both");
  return [
    ...(kinds.includes("heads") ? allHeads(spec) : []),
    ...(kinds.includes("mlps") ? allMlps(spec) : []),
  ];
}
