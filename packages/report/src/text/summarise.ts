/**
 * The answer in plain words, made from the numbers only. Each function says one thing about one
 * experiment, or nothing where the run has no such part.
 */
import { type Component, componentValue, effectView } from "../effects.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, KnockoutPoint, KnockoutResult, RandomBand } from "../results.ts";
import { hasControl, sizeGroups } from "../subset-ranks.ts";
import { count, isNumber, list, percent, percentRange, points, share } from "./numbers.ts";

/** Which components write the answer. */
export function writers(experiment: Experiment): Html {
  const view = effectView(experiment.direct);
  const heads = view.ranked.filter((c) => c.kind === "head" && c.key);
  const mlps = view.ranked.filter((c) => c.kind === "mlp" && c.key);
  const others = view.ranked.filter((c) => c.kind === "head" && !c.key);
  const strongest = heads[0];
  if (!strongest) {
    return html`No head passes the threshold for a key head${others[0] ? html`; the strongest, ${others[0].name}, has ${view.format(others[0].value)}` : null}.`;
  }
  const of = view.unit === "share" ? " of the effect" : "";
  const interval =
    strongest.interval && view.unit === "share"
      ? ` (interval ${percentRange(strongest.interval[0], strongest.interval[1], 0)})`
      : "";
  const named = heads.slice(1, 6).map((c) => `${c.name}\u00a0(${view.format(c.value)})`);
  const more = heads.length > 6 ? ` and ${count(heads.length - 6)} more key heads` : "";
  return html`Head <strong>${strongest.name}</strong> carries <strong>${view.format(strongest.value)}</strong>${of}${interval}${
    named.length > 0 ? `, followed by ${more ? named.join(", ") + more : list(named)}` : ""
  }.${mlps.length > 0 ? ` Of the MLPs: ${mlpNames(mlps, view.format)}.` : ""}${
    others[0]
      ? ` Every other head stays at or below ${view.format(Math.abs(others[0].value))}.`
      : ""
  }`;
}

function mlpNames(mlps: readonly Component[], format: (v: number) => string): string {
  const named = mlps.slice(0, 4).map((c) => `${c.name}\u00a0(${format(c.value)})`);
  return mlps.length > 4 ? `${named.join(", ")} and ${mlps.length - 4} more MLPs` : list(named);
}

/** Heads that matter only through other components. */
export function upstream(experiment: Experiment): string[] {
  if (!experiment.totalAll) return [];
  const direct = effectView(experiment.direct);
  const all = effectView(experiment.totalAll);
  if (direct.unit !== "share" || all.unit !== "share") return [];
  return all.ranked
    .filter((c) => c.kind === "head" && c.value >= 0.08)
    .filter((c) => Math.abs(componentValue(direct, c) ?? 0) < c.value / 4)
    .slice(0, 6)
    .map((c) => `${c.name}\u00a0(${share(c.value)})`);
}

export interface Proof {
  readonly start: KnockoutPoint;
  readonly point: KnockoutPoint;
  readonly band: RandomBand | undefined;
  /** Below everything that random heads reach. */
  readonly beyondRandom: boolean | undefined;
}

/** The point of the curve where exactly the key heads are gone, else its last point. */
export function proofOf(knockout: KnockoutResult, keyHeads: number): Proof | undefined {
  const curve = knockout.curve.filter((p) => isNumber(p.accuracy));
  const start = curve.find((p) => p.k === 0);
  const later = curve.filter((p) => p.k > 0);
  const point = later.find((p) => p.k === keyHeads) ?? later.at(-1);
  if (!start || !point) return undefined;
  const band = knockout.random.find((b) => b.k === point.k && isNumber(b.mean));
  const beyondRandom = band && isBeyond(point.accuracy, band);
  return { start, point, band, beyondRandom };
}

/** Among the lowest 5 % of the random sets; of an exhaustive list the chosen set is one itself. */
function isBeyond(accuracy: number, band: RandomBand): boolean {
  if (!isNumber(band.atMost)) return isNumber(band.low) && accuracy < band.low;
  return band.atMost <= Math.max(0.05, band.exhaustive ? 1.01 / band.draws : 0);
}

/** What knocking the key heads out proves. */
export function proof(experiment: Experiment): Html | null {
  const { knockout, direct } = experiment;
  const found = knockout && proofOf(knockout, direct.keyHeads.length);
  if (!knockout || !found) return null;
  const { start, point, band, beyondRandom } = found;
  const removed = point.k === 1 ? "With it removed" : `With the first ${point.k} of them removed`;
  const control =
    isNumber(start.control) && isNumber(point.control)
      ? ` The control goes from ${percent(start.control)} to ${percent(point.control)}.`
      : "";
  const random = band
    ? html` ${drawsText(band)} leave ${percent(band.mean)} on average (${percentRange(band.low, band.high)}), so this is ${beyondRandom ? "beyond what random heads do" : html`<em>not</em> clearly beyond what random heads do`}.`
    : null;
  return html`${removed} (${knockout.ablation} ablation, ${where(knockout.positions)}), accuracy goes from <strong>${percent(start.accuracy)}</strong> to <strong>${percent(point.accuracy)}</strong>.${random}${control}`;
}

export function drawsText(band: RandomBand): string {
  const size = band.k === 1 ? "single heads" : `sets of ${band.k} heads`;
  return band.exhaustive
    ? `All ${count(band.draws)} ${size}`
    : `${count(band.draws)} random ${size}`;
}

export function where(positions: "end" | "all"): string {
  return positions === "end" ? "at the last token" : "at all positions";
}

/** Where the key heads stand among all small sets. */
export function rankAmongSets(experiment: Experiment): string | null {
  const { subsets, direct } = experiment;
  if (!subsets) return null;
  const group = sizeGroups(subsets, direct.keyHeads)
    .filter((g) => g.key)
    .at(-1);
  if (!group?.key) return null;
  const what = hasControl(subsets) ? "fall on the task beyond the control" : "fall on the task";
  return `Of all ${count(group.drops.length)} sets of ${group.size}, the key heads ${list(group.key.heads)} rank ${count(group.key.rank)} by the ${what} (${points(group.key.drop)} points).`;
}

export interface Answer {
  readonly label: string;
  readonly text: Html | string;
}

/** The short answers to one experiment, as far as it was measured. */
export function answers(experiment: Experiment): Answer[] {
  const above = upstream(experiment);
  const all: readonly (readonly [string, Html | string | null])[] = [
    ["Who writes it", writers(experiment)],
    ["Proof", proof(experiment)],
    ["Among all sets", rankAmongSets(experiment)],
    [
      "Upstream",
      above.length > 0
        ? `Without a direct effect of their own: ${list(above)} of the total effect.`
        : null,
    ],
  ];
  return all.flatMap(([label, text]) => (text === null ? [] : [{ label, text }]));
}
