// What was measured, in the shape of results.json: [layer][head] and [layer], ranking, key heads.
import type { ModelSpec } from "@keyheads/native";
import type { IdentifyResult, Interval } from "../results.ts";
import { componentName, isMlp } from "./component.ts";
import { type Candidate, rankCandidates, selectKeys } from "./key-heads.ts";
import type { Measured } from "./measure.ts";
import type { KeyOptions } from "./options.ts";

/** The part of the result that follows from the readings. Senders not measured are NaN. */
export function describe(spec: ModelSpec, measured: Measured, options: KeyOptions) {
  const { effect, totals, candidates, estimates, guarded } = measured;
  const layout = <T>(of: (candidate: Candidate, s: number) => T, absent: T) =>
    spread(spec, candidates, candidates.map(of), absent);
  const means = layout((_, s) => estimates[s]?.estimate ?? Number.NaN, Number.NaN);
  const intervals = layout<Interval>(
    (_, s) => [estimates[s]?.low ?? Number.NaN, estimates[s]?.high ?? Number.NaN],
    [Number.NaN, Number.NaN],
  );
  const shares = layout(({ share }) => share, Number.NaN);
  const relative = layout(({ relativeLogit }) => relativeLogit, Number.NaN);
  const keys = selectKeys(candidates, options);
  const tested = candidates.some((candidate) => candidate.p !== undefined);
  const p = tested && layout((candidate) => candidate.p ?? Number.NaN, Number.NaN);
  return {
    effect: effect.name,
    ...totals,
    heads: means.heads,
    mlps: means.mlps,
    headCI: intervals.heads,
    mlpCI: intervals.mlps,
    headShares: shares.heads,
    mlpShares: shares.mlps,
    keyHeads: keys.heads,
    keyMlps: keys.mlps,
    ranking: rankCandidates(candidates)
      .filter(({ component }) => !isMlp(component))
      .map(({ component }) => componentName(component)),
    relativeLogit: { ...relative, guarded: guarded.relativeLogit },
    guarded: guarded.effect,
    ...(p && { headP: p.heads, mlpP: p.mlps }),
  } satisfies Partial<IdentifyResult>;
}

function spread<T>(
  spec: ModelSpec,
  candidates: readonly Candidate[],
  values: readonly T[],
  absent: T,
): { heads: T[][]; mlps: T[] } {
  const heads = Array.from({ length: spec.layers }, () => Array<T>(spec.heads).fill(absent));
  const mlps = Array<T>(spec.layers).fill(absent);
  candidates.forEach(({ component: { layer, head } }, s) => {
    const row = head < 0 ? mlps : (heads[layer] as T[]);
    row[head < 0 ? layer : head] = values[s] as T;
  });
  return { heads, mlps };
}
