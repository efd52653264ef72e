// How much of the task the first components of a ranking do by themselves, and two areas over the
// size as the Mechanistic Interpretability Benchmark defines them (Mueller et al. 2025): CPR, under
// the faithfulness of a signed ranking, higher is better; CMD, between faithfulness and 1 of a
// ranking by magnitude, lower is better.
import type { Component } from "../attribution/component.ts";
import type { SizeCurve } from "../results.ts";
import { allBut, type PartSpace } from "./circuit-space.ts";
import { type Meter, meansOf } from "./meter.ts";

/** Shares of all components, those of the benchmark. */
export const circuitShares = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] as const;

export interface Scored<Part = Component> {
  readonly component: Part;
  /** Positive helps the answer. */
  readonly score: number;
}

/** F = (m - m(empty)) / (m(M) - m(empty)) at every share of the ranking. */
export async function sizeCurve<Part>(
  meter: Meter<Part>,
  space: PartSpace<Part>,
  scores: readonly Scored<Part>[],
  ranking: SizeCurve["ranking"],
): Promise<SizeCurve> {
  const size = ({ score }: Scored<Part>) => (ranking === "absolute" ? Math.abs(score) : score);
  const ranked = [...scores].sort((a, b) => size(b) - size(a)).map(({ component }) => component);
  const counts = circuitShares.map((share) => Math.floor(share * ranked.length + 1e-9));
  const values = await meansOf(meter, [
    [],
    [...space.all],
    ...counts.map((k) => allBut(space, ranked.slice(0, k))),
  ]);
  const [full, empty, ...means] = values as [number, number, ...number[]];
  const points = circuitShares.map((share, i) => ({
    share,
    k: counts[i] as number,
    faithfulness: ((means[i] as number) - empty) / (full - empty),
  }));
  return { ranking, points, ...areas(points) };
}

/** Trapezoids over the share, from the smallest share to 1. */
export function areas(points: readonly { share: number; faithfulness: number }[]) {
  let cpr = 0;
  let cmd = 0;
  for (const [i, { share, faithfulness }] of points.entries()) {
    const next = points[i + 1];
    if (!next) break;
    const width = (next.share - share) / 2;
    cpr += width * (faithfulness + next.faithfulness);
    cmd += width * (Math.abs(1 - faithfulness) + Math.abs(1 - next.faithfulness));
  }
  return { cpr, cmd };
}
