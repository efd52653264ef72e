// From what was read to what is known of every sender: its effect on each item, the mean with an
// interval, its share of the total, and whether it harms.
import { KeyheadsError } from "../errors.ts";
import { type Estimate, numberClusters } from "../statistics/bootstrap.ts";
import { maxTSignFlip } from "../statistics/max-t.ts";
import type { Component } from "./component.ts";
import { type Effect, type Guard, relativeLogit } from "./effects.ts";
import type { Candidate } from "./key-heads.ts";
import type { IdentifyOptions } from "./options.ts";
import { numbers, type Reading } from "./reading.ts";
import { type ItemEffects, itemEffects, meanPresent, summarise, totalIsReal } from "./summary.ts";

export interface Readings extends ItemEffects {
  readonly effect: Effect;
  readonly senders: readonly Component[];
  readonly reference: Reading;
  readonly counterfactual: Reading;
}
export interface Measured {
  readonly effect: Effect;
  /** Mean metric on X_r and X_c; effects that are no difference of levels have 0 as reference. */
  readonly totals: { reference: number; counterfactual: number; totalEffect: number };
  /** One a sender, in the same order. */
  readonly candidates: readonly Candidate[];
  readonly estimates: readonly Estimate[];
  /** Items whose denominator was too near zero. */
  readonly guarded: { readonly effect: number; readonly relativeLogit: number };
}

export function guardOf(options: Pick<IdentifyOptions, "guard">): Guard {
  return { logit: 0.01, probability: 1e-9, ...options.guard };
}

/** Throws BAD_ITEMS for a normalised effect where X_c changes nothing. */
export function measure(
  { effect, senders, reference, counterfactual, effects, relative }: Readings,
  clusterNames: readonly string[],
  options: IdentifyOptions,
): Measured {
  const guard = guardOf(options);
  const clusters = numberClusters(clusterNames);
  const total = itemEffects(effect, reference, counterfactual, guard);
  const real = totalIsReal(reference, counterfactual);
  if (effect.name === "normalised" && !real) throw noTotal();
  const { estimates, shares } = summarise(effect, effects, total, clusters, options);
  const seed = options.seed ?? 0;
  const tested = options.significance !== undefined || options.pValues === true;
  const p = tested ? maxTSignFlip(effects, clusters, { seed }) : undefined;
  const guardedBy = (some: Effect) =>
    reference.answer.filter((_, item) => some.guarded(numbers(reference, item), guard)).length;
  return {
    effect,
    totals: totalsOf(effect, reference, counterfactual, total),
    candidates: senders.map((component, s) => ({
      component,
      harm: effect.harm * (estimates[s] as Estimate).estimate,
      relativeLogit: meanPresent(relative[s] as Float64Array),
      share: real ? (shares[s] as number) : Number.NaN,
      ...(p && { p: p[s] as number }),
    })),
    estimates,
    guarded: { effect: guardedBy(effect), relativeLogit: guardedBy(relativeLogit) },
  };
}

function totalsOf(
  effect: Effect,
  reference: Reading,
  counterfactual: Reading,
  total: Float64Array,
) {
  const { level } = effect;
  if (effect.name === "normalised") return { reference: 0, counterfactual: 1, totalEffect: 1 };
  const totalEffect = meanPresent(total);
  if (!level) return { reference: 0, counterfactual: totalEffect, totalEffect };
  const mean = (run: Reading) =>
    meanPresent(run.answer.map((_, item) => level(numbers(run, item))));
  return { reference: mean(reference), counterfactual: mean(counterfactual), totalEffect };
}

function noTotal(): KeyheadsError {
  return new KeyheadsError(
    "BAD_ITEMS",
    "the normalised effect divides by the total effect, which is zero here (X_c does what X_r does); use logit-difference",
  );
}
