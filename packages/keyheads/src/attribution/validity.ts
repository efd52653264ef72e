// Is a pair a fair question? X_r should be answered with C, X_c should not. A pair whose X_c still
// yields C changes nothing that could be traced, and is left out and counted.
import { KeyheadsError } from "../errors.ts";
import type { IdentifyResult } from "../results.ts";
import type { Pair } from "./pairs.ts";
import type { BaseReading } from "./reading.ts";

export interface Screening {
  /** Indices of the pairs that stay. */
  readonly kept: readonly number[];
  /** Shares are over all pairs, before any is left out. */
  readonly validity: IdentifyResult["validity"];
}

export function screen(
  pairs: readonly Pair[],
  reference: BaseReading,
  counterfactual: BaseReading,
  options: { onlyCorrect: boolean; excludeUnchanged: boolean },
): Screening {
  const correct = pairs.map(({ answer }, i) => reference.argmax[i] === answer);
  const still = pairs.map(({ answer }, i) => counterfactual.argmax[i] === answer);
  const all = [...pairs.keys()];
  const right = all.filter((i) => correct[i] || !options.onlyCorrect);
  const kept = right.filter((i) => !(still[i] && options.excludeUnchanged));
  if (kept.length === 0) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `none of ${pairs.length} pairs is left: ${all.length - right.length} were answered wrongly, ` +
        `of ${right.length - kept.length} the counterfactual still yields the answer; ` +
        "use other counterfactuals, or switch onlyCorrect or excludeUnchanged off",
    );
  }
  const probabilities = counterfactual.answer.map((logit, i) =>
    Math.exp(logit - (counterfactual.logsumexp[i] as number)),
  );
  return {
    kept,
    validity: {
      referenceAccuracy: share(correct),
      counterfactualStillC: share(still),
      counterfactualProbC: probabilities.reduce((a, b) => a + b, 0) / pairs.length,
      excluded: right.length - kept.length,
      incorrect: all.length - right.length,
    },
  };
}

function share(flags: readonly boolean[]): number {
  return flags.filter(Boolean).length / flags.length;
}
