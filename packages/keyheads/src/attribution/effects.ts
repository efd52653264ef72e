// Effect of a replacement on one item, from the logits of C and C' and the log-sum-exp over the
// vocabulary. Equations: docs/method.md. `relative-logit` is the measure of Zhang et al. 2024,
// `ie` that of Stolfo et al. 2023; both divide, hence the guards.
import { KeyheadsError } from "../errors.ts";
import type { EffectName } from "../results.ts";
import { itemName, type Pair } from "./pairs.ts";

/** What is read at END of one run of one item. */
export interface Numbers {
  /** Logit of C. */
  readonly answer: number;
  /** Logit of C'; of C where there is no C'. */
  readonly other: number;
  readonly logsumexp: number;
}
export interface Guard {
  /** A reference logit nearer to zero than this is not divided by. */
  readonly logit: number;
  /** Probabilities in denominators are at least this. */
  readonly probability: number;
}
/** Derivatives with respect to the numbers of C and of C'. */
export interface Slope {
  readonly answer: number;
  readonly other: number;
}
export interface Effect {
  readonly name: EffectName;
  readonly needsOther: boolean;
  readonly needsLogsumexp: boolean;
  /** Sign of an effect that harms C. */
  readonly harm: 1 | -1;
  /** Level of the metric on one run, where the effect is a plain difference of levels. */
  readonly level?: (run: Numbers) => number;
  /** Of one item; NaN leaves the item out. */
  readonly of: (reference: Numbers, patched: Numbers, guard: Guard) => number;
  /**
   * Of `of` with respect to the patched run: to its log-probabilities where needsLogsumexp, else to
   * its logits.
   */
  readonly slope: (reference: Numbers, patched: Numbers, guard: Guard) => Slope;
  /** The slope depends on the patched run, not on the reference alone. */
  readonly curved: boolean;
  /** The denominator of `of` had to be guarded. */
  readonly guarded: (reference: Numbers, guard: Guard) => boolean;
}

const probability = (logit: number, run: Numbers) => Math.exp(logit - run.logsumexp);

function difference(
  name: EffectName,
  level: (run: Numbers) => number,
  slope: Slope | ((run: Numbers) => Slope),
  needs: { other?: boolean; logsumexp?: boolean } = {},
): Effect {
  return {
    name,
    needsOther: needs.other ?? false,
    needsLogsumexp: needs.logsumexp ?? false,
    harm: -1,
    level,
    of: (reference, patched) => level(patched) - level(reference),
    slope: (_, patched) => (typeof slope === "function" ? slope(patched) : slope),
    curved: typeof slope === "function",
    guarded: () => false,
  };
}

const ofAnswer: Slope = { answer: 1, other: 0 };
const logitDifference = difference(
  "logit-difference",
  (run) => run.answer - run.other,
  { answer: 1, other: -1 },
  { other: true },
);
const logprob = difference("logprob", (run) => run.answer - run.logsumexp, ofAnswer, {
  logsumexp: true,
});

export const relativeLogit: Effect = {
  name: "relative-logit",
  needsOther: false,
  needsLogsumexp: false,
  harm: -1,
  of: (reference, patched, guard) =>
    Math.abs(reference.answer) < guard.logit
      ? Number.NaN
      : (patched.answer - reference.answer) / reference.answer,
  slope: (reference, _, guard) =>
    Math.abs(reference.answer) < guard.logit
      ? { answer: Number.NaN, other: 0 }
      : { answer: 1 / reference.answer, other: 0 },
  curved: false,
  guarded: (reference, guard) => Math.abs(reference.answer) < guard.logit,
};

const indirectEffect: Effect = {
  name: "ie",
  needsOther: true,
  needsLogsumexp: true,
  harm: 1,
  of: (reference, patched, guard) => {
    const other = probability(reference.other, reference);
    const otherPatched = probability(patched.other, patched);
    const answer = probability(reference.answer, reference);
    const answerPatched = probability(patched.answer, patched);
    return (
      ((otherPatched - other) / Math.max(other, guard.probability) +
        (answer - answerPatched) / Math.max(answerPatched, guard.probability)) /
      2
    );
  },
  slope: (reference, patched, guard) => {
    const other = probability(reference.other, reference);
    const otherPatched = probability(patched.other, patched);
    const answer = probability(reference.answer, reference);
    const answerPatched = probability(patched.answer, patched);
    return {
      other: otherPatched / Math.max(other, guard.probability) / 2,
      answer:
        answerPatched > guard.probability
          ? -answer / answerPatched / 2
          : -answerPatched / guard.probability / 2,
    };
  },
  curved: true,
  guarded: (reference, guard) => probability(reference.other, reference) < guard.probability,
};

/**
 * The effect by name. `normalised` is the plain default metric here; what normalises it is that
 * means are divided by the mean total effect (summary.ts).
 */
export function effectOf(name: EffectName, hasOther: boolean): Effect {
  switch (name) {
    case "logit-difference":
      return logitDifference;
    case "logprob":
      return logprob;
    case "logit":
      return difference("logit", (run) => run.answer, ofAnswer);
    case "prob":
      return difference(
        "prob",
        (run) => probability(run.answer, run),
        (run) => ({ answer: probability(run.answer, run), other: 0 }),
        { logsumexp: true },
      );
    case "relative-logit":
      return relativeLogit;
    case "ie":
      return indirectEffect;
    case "normalised":
      return { ...(hasOther ? logitDifference : logprob), name, harm: 1 };
    default:
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `unknown effect "${String(name)}"; there are logit-difference, logprob, logit, prob, relative-logit, ie and normalised`,
      );
  }
}

/**
 * The asked-for effect, or the default: logit difference where every pair has an answer to X_c,
 * else log-probability. Throws BAD_ITEMS where the effect needs C' and a pair has none.
 */
export function chooseEffect(name: EffectName | undefined, pairs: readonly Pair[]): Effect {
  const without = pairs.find((pair) => pair.counterfactualAnswer === undefined);
  const effect = effectOf(
    name ?? (without ? "logprob" : "logit-difference"),
    without === undefined,
  );
  if (without && effect.needsOther) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `effect ${effect.name} compares with the counterfactual's answer, which ${itemName(without.item)} does not have; ` +
        "give it a counterfactual_answer, or use logprob",
    );
  }
  return effect;
}
