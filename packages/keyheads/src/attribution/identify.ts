// Attribution of every head and MLP: screens the pairs, patches every sender, reports mean effects
// with intervals and names the key heads. docs/method.md has the equations.
import { performance } from "node:perf_hooks";
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import type { IdentifyResult, Interval } from "../results.ts";
import { type Estimate, numberClusters } from "../statistics/bootstrap.ts";
import { maxTSignFlip } from "../statistics/max-t.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { allHeads, allMlps, type Component, componentName, isMlp } from "./component.ts";
import { chooseEffect, type Effect, effectOf, type Guard } from "./effects.ts";
import { type Candidate, rankCandidates, selectKeys } from "./key-heads.ts";
import type { IdentifyOptions, Method, MlpPath, Positions } from "./options.ts";
import { droppedOf, itemsOf, makePairs, type Pair } from "./pairs.ts";
import { patchSenders } from "./patch.ts";
import { numbers, pickReading, type Reading, readRuns } from "./reading.ts";
import { itemEffects, meanPresent, summarise, totalIsReal } from "./summary.ts";
import { screen } from "./validity.ts";

/** Bytes that the values of X_c may take in one call. */
const chunkBytes = 64 * 2 ** 20;

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
  const { method, positions, mlpPath } = checkMethod(options);
  const kind = options.counterfactual ?? "own";
  const seed = options.seed ?? 0;
  const all = makePairs(itemsOf(items), kind, positions, seed);
  const effect = chooseEffect(options.effect, all);
  const batch = options.batch ?? defaultBatch(model, all, positions);
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

  const senders = sendersOf(model.spec, options.senders ?? ["heads", "mlps"]);
  const patching = {
    ...{ method, positions, mlpPath, senders, batch },
    logsumexp: effect.needsLogsumexp,
  };
  const patched = await patchSenders(model, pairs, patching, options);

  const guard = { logit: 0.01, probability: 1e-9, ...options.guard };
  const clusters = numberClusters(pairs.map((pair) => pair.cluster));
  const effects = patched.map((reading) => itemEffects(effect, reference, reading, guard));
  const total = itemEffects(effect, reference, counterfactual, guard);
  const real = totalIsReal(reference, counterfactual);
  if (effect.name === "normalised" && !real) throw noTotal();
  const summary = summarise(effect, effects, total, clusters, { ...options, seed });
  const relative = effectOf("relative-logit", false);
  const relatives = patched.map((reading) =>
    meanPresent(itemEffects(relative, reference, reading, guard)),
  );
  const p = options.significance ? maxTSignFlip(effects, clusters, { seed }) : undefined;

  const shares = summary.shares.map((share) => (real ? share : Number.NaN));
  const candidates = senders.map((component, s): Candidate => {
    const { estimate } = summary.estimates[s] as Estimate;
    const known = { component, harm: effect.harm * estimate, share: shares[s] as number };
    const relativeLogit = relatives[s] as number;
    return { ...known, relativeLogit, ...(p && { p: p[s] as number }) };
  });
  const keys = selectKeys(candidates, options);
  const layout = <T>(values: readonly T[], absent: T) =>
    spread(model.spec, senders, values, absent);
  const none: Interval = [Number.NaN, Number.NaN];
  const mean = layout(
    summary.estimates.map(({ estimate }) => estimate),
    Number.NaN,
  );
  const ci = layout(
    summary.estimates.map(({ low, high }): Interval => [low, high]),
    none,
  );
  const share = layout(shares, Number.NaN);
  const relativeLogit = layout(relatives, Number.NaN);
  const significance = p && layout([...p], Number.NaN);
  return {
    items: { used: pairs.length, dropped: droppedOf(items) },
    ...{ method, positions, mlpPath },
    effect: effect.name,
    ...totals(effect, reference, counterfactual, total),
    heads: mean.heads,
    mlps: mean.mlps,
    headCI: ci.heads,
    mlpCI: ci.mlps,
    headShares: share.heads,
    mlpShares: share.mlps,
    keyHeads: keys.heads,
    keyMlps: keys.mlps,
    ranking: rankCandidates(candidates)
      .filter(({ component }) => !isMlp(component))
      .map(({ component }) => componentName(component)),
    relativeLogit: { ...relativeLogit, guarded: countGuarded(relative, reference, guard) },
    guarded: countGuarded(effect, reference, guard),
    ...(significance && { headP: significance.heads, mlpP: significance.mlps }),
    validity,
    counterfactualKind: kind,
    seconds: (performance.now() - started) / 1000,
  };
}

function checkMethod(options: IdentifyOptions) {
  const method: Method = options.method ?? "exact";
  const positions: Positions = options.positions ?? "end";
  const mlpPath: MlpPath = options.mlpPath ?? "recompute";
  if (!["exact", "naive", "activation"].includes(method)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `unknown method "${method}"; there are exact, naive and activation`,
    );
  }
  if (positions === "all" && method !== "activation") {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `method "${method}" replaces senders at END only; positions "all" needs method "activation"`,
    );
  }
  if (mlpPath === "freeze" && method === "activation") {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      'activation patching recomputes everything downstream; mlpPath "freeze" is for path patching',
    );
  }
  return { method, positions, mlpPath };
}

function sendersOf(spec: ModelSpec, kinds: NonNullable<IdentifyOptions["senders"]>): Component[] {
  if (kinds.length === 0)
    throw new KeyheadsError("BAD_ARGUMENT", "no senders: heads, mlps or both");
  return [
    ...(kinds.includes("heads") ? allHeads(spec) : []),
    ...(kinds.includes("mlps") ? allMlps(spec) : []),
  ];
}

function defaultBatch(model: Model, pairs: readonly Pair[], positions: Positions): number {
  const { layers, heads, dHead, dModel } = model.spec;
  const rows = positions === "end" ? 1 : Math.max(...pairs.map((pair) => pair.reference.length));
  const bytes = rows * layers * (heads * dHead + dModel) * (model.dtype === "f64" ? 8 : 4);
  return Math.max(1, Math.floor(chunkBytes / bytes));
}

/** Values of senders as [layer][head] and [layer]. */
function spread<T>(
  spec: ModelSpec,
  senders: readonly Component[],
  values: readonly T[],
  absent: T,
): { heads: T[][]; mlps: T[] } {
  const heads = Array.from({ length: spec.layers }, () => Array<T>(spec.heads).fill(absent));
  const mlps = Array<T>(spec.layers).fill(absent);
  senders.forEach(({ layer, head }, s) => {
    const row = head < 0 ? mlps : (heads[layer] as T[]);
    row[head < 0 ? layer : head] = values[s] as T;
  });
  return { heads, mlps };
}

/** Mean metric on X_r and X_c; effects that are no difference of levels have 0 as their reference. */
function totals(effect: Effect, reference: Reading, counterfactual: Reading, total: Float64Array) {
  const { level } = effect;
  if (effect.name === "normalised") return { reference: 0, counterfactual: 1, totalEffect: 1 };
  if (!level) {
    const whole = meanPresent(total);
    return { reference: 0, counterfactual: whole, totalEffect: whole };
  }
  const mean = (run: Reading) =>
    meanPresent(run.answer.map((_, item) => level(numbers(run, item))));
  return {
    reference: mean(reference),
    counterfactual: mean(counterfactual),
    totalEffect: meanPresent(total),
  };
}

function countGuarded(effect: Effect, reference: Reading, guard: Guard): number {
  return reference.answer.reduce(
    (count, _, item) => count + Number(effect.guarded(numbers(reference, item), guard)),
    0,
  );
}

function noTotal(): KeyheadsError {
  return new KeyheadsError(
    "BAD_ITEMS",
    "the normalised effect divides by the total effect, which is zero here (X_c does what X_r does); use logit-difference",
  );
}
