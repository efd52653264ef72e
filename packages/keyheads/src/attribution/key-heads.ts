// Which heads count as key heads: the top k, those below a threshold of the paper's measure, or
// those whose effect is significant over all senders and large enough to matter.
import { KeyheadsError } from "../errors.ts";
import { type Component, componentName, isMlp } from "./component.ts";
import type { KeyOptions } from "./options.ts";

/** What is known of one sender. */
export interface Candidate {
  readonly component: Component;
  /** Mean effect, its sign turned so that harm to C is positive. */
  readonly harm: number;
  /** Mean relative change of the logit of C. */
  readonly relativeLogit: number;
  /** Share of the total effect. */
  readonly share: number;
  /** Family-wise p-value, where significance was asked for. */
  readonly p?: number;
}

/** Reported by the paper: "below -5 %". */
export const defaultThreshold = -0.05;

/** Most harmful to C first; what was not measured (NaN) is left out. */
export function rankCandidates(candidates: readonly Candidate[]): Candidate[] {
  return candidates
    .filter((candidate) => !Number.isNaN(candidate.harm))
    .sort((a, b) => b.harm - a.harm);
}

/**
 * Key heads and MLPs, most harmful first. `top` counts heads; MLPs then follow the threshold.
 * Throws BAD_ARGUMENT for a `top` that is no positive integer.
 */
export function selectKeys(
  candidates: readonly Candidate[],
  options: KeyOptions,
): { heads: string[]; mlps: number[] } {
  const { top, significance } = options;
  if (top !== undefined && !(Number.isInteger(top) && top >= 1)) {
    throw new KeyheadsError("BAD_ARGUMENT", `top ${top}: expected an integer of at least 1`);
  }
  const threshold = options.threshold ?? defaultThreshold;
  const counts = (candidate: Candidate): boolean =>
    significance
      ? candidate.harm > 0 &&
        (candidate.p ?? 1) <= significance.alpha &&
        candidate.share >= significance.minimumShare
      : candidate.relativeLogit < threshold;
  const ranked = rankCandidates(candidates);
  const heads = ranked.filter((candidate) => !isMlp(candidate.component));
  // A plain `top` takes the first k as they come; beside another rule it only limits their number.
  const plain = top !== undefined && options.threshold === undefined && !significance;
  return {
    heads: (plain ? heads : heads.filter(counts))
      .slice(0, top ?? heads.length)
      .map(({ component }) => componentName(component)),
    mlps: ranked
      .filter((candidate) => isMlp(candidate.component) && counts(candidate))
      .map(({ component }) => component.layer),
  };
}
