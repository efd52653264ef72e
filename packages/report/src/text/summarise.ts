/**
 * The answer in plain words, made from the numbers only. Each function says one thing about one
 * experiment, or nothing where the run has no such part.
 */
import { type Component, componentValue, effectView } from "../effects.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, KnockoutPoint, RandomBand } from "../results.ts";
import { hasControl, sizeGroups } from "../subset-ranks.ts";
import { count, isNumber, list, ordinal, percent, percentRange, points, share } from "./numbers.ts";

/** A head worth naming although it is below the threshold: a twentieth of the effect, or so. */
const worthNaming = 0.045;
const mostNamed = 6;

/** Which components write the answer. */
export function writers(experiment: Experiment): Html {
  const view = effectView(experiment.direct);
  const heads = view.ranked.filter((c) => c.kind === "head");
  const mlps = view.ranked.filter((c) => c.kind === "mlp" && c.key);
  const strongest = heads[0];
  if (!strongest) return html`No head has an effect that is a number.`;
  if (!heads.some((c) => c.key)) {
    return html`No head passes the threshold for a key head; the strongest, ${strongest.name}, has ${view.format(strongest.value)}.`;
  }
  const shares = view.unit === "share";
  const named = heads
    .filter((c) => c.key || (shares && c.value >= worthNaming))
    .slice(0, mostNamed);
  const first = named[0] ?? strongest;
  const interval =
    first.interval && shares
      ? ` (interval ${percentRange(first.interval[0], first.interval[1], 0)})`
      : "";
  const next = named.slice(1).map((c) => nameAndValue(c, view.format));
  const other = heads.find((c) => !named.includes(c));
  return html`Head <strong>${first.name}</strong> carries <strong>${view.format(first.value)}</strong>${
    shares ? " of the effect" : ""
  }${interval}${next.length > 0 ? `, followed by ${list(next)}` : ""}.${
    mlps.length > 0 ? ` Of the MLPs: ${mlpNames(mlps, view.format)}.` : ""
  }${other ? ` Every other head stays at or below ${view.format(Math.abs(other.value))}.` : ""}`;
}

/** On one line: the space between the two does not break. */
function nameAndValue(c: Component, format: (v: number) => string): string {
  return `${c.name}\u00a0(${format(c.value)})`;
}

/** The heads of an experiment in the order in which they were put to the test. */
export function chosenHeads({ direct, knockout }: Experiment): string[] {
  const removed = (knockout?.curve ?? []).flatMap((p) => (p.added ? [p.added] : []));
  const isHead = (name: string) => /^\d+\.\d+$/.test(name);
  return [...new Set([...removed.filter(isHead), ...direct.keyHeads, ...(direct.ranking ?? [])])];
}

function mlpNames(mlps: readonly Component[], format: (v: number) => string): string {
  const named = mlps.slice(0, 4).map((c) => nameAndValue(c, format));
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
    .map((c) => nameAndValue(c, share));
}

export interface Proof {
  readonly start: KnockoutPoint;
  readonly point: KnockoutPoint;
  /** What is removed at that point. */
  readonly removed: readonly string[];
  readonly band: RandomBand | undefined;
  /** Below everything that random heads reach. */
  readonly beyondRandom: boolean | undefined;
}

/** The point of the curve where exactly the key heads are gone, if they are several; else its end. */
export function proofOf({ knockout, direct }: Experiment): Proof | undefined {
  if (!knockout) return undefined;
  const keyHeads = direct.keyHeads.length;
  const curve = knockout.curve.filter((p) => isNumber(p.accuracy));
  const start = curve.find((p) => p.k === 0);
  const later = curve.filter((p) => p.k > 0);
  const point = (keyHeads > 1 ? later.find((p) => p.k === keyHeads) : undefined) ?? later.at(-1);
  if (!start || !point) return undefined;
  const band = knockout.random.find((b) => b.k === point.k && isNumber(b.mean));
  const beyondRandom = band && isBeyond(point.accuracy, band);
  const removed = later.flatMap((p) => (p.k <= point.k && p.added ? [p.added] : []));
  return { start, point, removed, band, beyondRandom };
}

/** Among the lowest 5 % of the random sets; of an exhaustive list the chosen set is one itself. */
function isBeyond(accuracy: number, band: RandomBand): boolean {
  if (!isNumber(band.atMost)) return isNumber(band.low) && accuracy < band.low;
  return band.atMost <= Math.max(0.05, band.exhaustive ? 1.01 / band.draws : 0);
}

/** What knocking the key heads out proves. */
export function proof(experiment: Experiment): Html | null {
  const { knockout } = experiment;
  const found = proofOf(experiment);
  if (!knockout || !found) return null;
  const { start, point, band, beyondRandom } = found;
  const names =
    found.removed.length > 0 && found.removed.length <= mostNamed
      ? list(found.removed)
      : `the first ${point.k} components`;
  const control =
    isNumber(start.control) && isNumber(point.control)
      ? ` The control goes from ${percent(start.control)} to ${percent(point.control)}${
          isNumber(band?.controlMean) ? `; with random sets to ${percent(band?.controlMean)}` : ""
        }.`
      : "";
  const random = band
    ? html` ${drawsText(band)} leave ${percent(band.mean)} on average (${percentRange(band.low, band.high)}), so this is ${beyondRandom ? "beyond what random heads do" : html`<em>not</em> clearly beyond what random heads do`}.`
    : null;
  return html`With ${names} removed (${knockout.ablation} ablation, ${where(knockout.positions)}), accuracy goes from <strong>${percent(start.accuracy)}</strong> to <strong>${percent(point.accuracy)}</strong>.${random}${control}`;
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
  const { subsets } = experiment;
  if (!subsets) return null;
  const group = sizeGroups(subsets, chosenHeads(experiment))
    .filter((g) => g.key)
    .at(-1);
  if (!group?.key) return null;
  const what = hasControl(subsets) ? "fall on the task beyond the control" : "fall on the task";
  const heads = group.key.heads;
  const best = group.drops[0];
  const top =
    group.key.rank > 1 && best ? `; ${list(best.heads)} come first (${points(best.drop)})` : "";
  return `Of all ${count(group.drops.length)} ${heads.length === 1 ? "heads" : `sets of ${group.size} heads`}, ${list(heads)} ${heads.length === 1 ? "ranks" : "rank"} ${ordinal(group.key.rank)} by the ${what} (${points(group.key.drop)} points)${top}.`;
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
    ["Removing them", proof(experiment)],
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
