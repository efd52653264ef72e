// Two runs over the same items, before and after. Items are compared one by one: an improvement of
// a tenth of a point can be certain in pairs where two separate intervals overlap.
import { KeyheadsError } from "../errors.ts";
import type { EvalResult } from "../results.ts";
import type { BootstrapOptions } from "../statistics/bootstrap.ts";
import { exactMcNemar, pairedBootstrap } from "../statistics/paired.ts";
import type { EvaluatedItems } from "./outcomes.ts";

export type PairedComparison = NonNullable<EvalResult["paired"]>;

/**
 * Accuracy of `after` minus accuracy of `before`: its bootstrap interval, the exact McNemar test,
 * and how many items became right and wrong. Throws BAD_ITEMS if the items differ.
 */
export function compareEvaluations(
  before: EvaluatedItems,
  after: EvaluatedItems,
  options: BootstrapOptions = {},
): PairedComparison {
  if (before.mode !== after.mode) {
    throw new KeyheadsError(
      "USAGE",
      `evaluations in mode ${before.mode} and ${after.mode} cannot be compared; use one mode`,
    );
  }
  const differs = after.ids.findIndex((id, i) => id !== before.ids[i]);
  if (differs >= 0 || before.ids.length !== after.ids.length) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `evaluations of ${before.ids.length} and ${after.ids.length} items cannot be compared in pairs: ` +
        `item ${differs < 0 ? after.ids.length : differs} differs; evaluate both on the same items`,
    );
  }
  let fixed = 0;
  let broken = 0;
  after.correct.forEach((right, i) => {
    if (right > (before.correct[i] as number)) ++fixed;
    if (right < (before.correct[i] as number)) ++broken;
  });
  const was = Float64Array.from(before.correct);
  const is = Float64Array.from(after.correct);
  const { estimate, low, high } = pairedBootstrap(was, is, after.clusters, options);
  return {
    baseline: was.reduce((sum, value) => sum + value, 0) / was.length,
    difference: estimate,
    ci: [low, high],
    p: exactMcNemar(fixed, broken),
    fixed,
    broken,
  };
}
