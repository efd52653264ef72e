/** Accuracy as components are removed one after the other, against random sets and the control. */
import * as Plot from "@observablehq/plot";
import { type Html, html } from "../html.ts";
import type { KnockoutPoint, KnockoutResult, RandomBand } from "../results.ts";
import { isNumber, percent } from "../text/numbers.ts";
import { draw, integerTicks } from "./draw.ts";
import { type LegendItem, legend, responsive } from "./figure.ts";

const colors = { key: "var(--c-key)", control: "var(--c-control)", random: "var(--c-random)" };

export function knockOutChart(result: KnockoutResult): Html {
  const curve = result.curve.filter((p) => isNumber(p.accuracy));
  const bands = withStart(
    result.random.filter((b) => isNumber(b.mean)),
    curve[0],
  );
  const control = curve.filter((p) => isNumber(p.control));
  const items: LegendItem[] = [
    { label: "task, chosen components removed", color: colors.key, mark: "line" },
  ];
  if (bands.length > 0) {
    items.push({ label: "task, random heads removed: mean", color: colors.random, mark: "line" });
    items.push({ label: "and band of the draws", color: "var(--c-band)", mark: "area" });
  }
  if (control.length > 0) {
    items.push({
      label: "control, chosen components removed",
      color: colors.control,
      mark: "dashed",
    });
  }
  return html`${legend(items)}
${responsive((width) => curves(width, curve, bands, control), 680)}`;
}

/** The band begins where nothing is removed yet, as the curve does. */
function withStart(bands: RandomBand[], start: KnockoutPoint | undefined): RandomBand[] {
  if (bands.length === 0 || !start || start.k !== 0 || bands[0]?.k === 0) return bands;
  const value = start.accuracy;
  const none = { k: 0, mean: value, low: value, high: value, draws: 1, exhaustive: true };
  return [none, ...bands];
}

function curves(
  width: number,
  curve: readonly KnockoutPoint[],
  bands: readonly RandomBand[],
  control: readonly KnockoutPoint[],
): Html {
  const last = Math.max(1, ...curve.map((p) => p.k), ...bands.map((b) => b.k));
  const pixels = (width - 66) / last;
  const named = curve.filter((p) => p.added && pixels >= 34);
  const end = curve.at(-1);
  return draw({
    width,
    height: width > 500 ? 320 : 280,
    title: "Knock-out curve",
    description: end
      ? `Accuracy falls from ${percent(curve[0]?.accuracy)} to ${percent(end.accuracy)} with ${end.k} components removed.`
      : "No points.",
    marginLeft: 46,
    marginRight: 20,
    marginTop: 12,
    marginBottom: named.length > 0 ? 58 : 44,
    x: { domain: [0, last], axis: null },
    y: { domain: [0, 1], label: null, axis: null },
    marks: [
      Plot.gridY({ ticks: 5, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisY({ ticks: 5, tickSize: 0, tickFormat: (v: number) => percent(v, 0), label: null }),
      Plot.axisX({
        ticks: integerTicks(last + 1, Math.floor(width / 34)),
        tickSize: 3,
        tickFormat: (k: number) => String(k),
        label: "components removed",
        labelAnchor: "center",
        labelArrow: "none",
        labelOffset: named.length > 0 ? 52 : 36,
      }),
      Plot.text(named, {
        x: "k",
        frameAnchor: "bottom",
        text: (p: KnockoutPoint) => `+${p.added}`,
        dy: 30,
        fill: colors.key,
        fontSize: 10.5,
      }),
      Plot.areaY(bands, { x: "k", y1: "low", y2: "high", fill: "var(--c-band)" }),
      Plot.lineY(bands, { x: "k", y: "mean", stroke: colors.random, strokeWidth: 2 }),
      Plot.lineY(control, {
        x: "k",
        y: "control",
        stroke: colors.control,
        strokeWidth: 2.25,
        strokeDasharray: "6 4",
      }),
      Plot.lineY(curve, { x: "k", y: "accuracy", stroke: colors.key, strokeWidth: 2.75 }),
      Plot.dot(bands, { x: "k", y: "mean", r: 2.5, fill: colors.random, title: bandTitle }),
      Plot.dot(control, {
        x: "k",
        y: "control",
        r: 3,
        fill: colors.control,
        title: (p: KnockoutPoint) => `Control, ${p.k} removed: ${percent(p.control)}`,
      }),
      Plot.dot(curve, {
        x: "k",
        y: "accuracy",
        r: 4,
        fill: colors.key,
        title: (p: KnockoutPoint) =>
          `Task, ${p.k} removed${p.added ? ` (now ${p.added})` : ""}: ${percent(p.accuracy)}`,
      }),
    ],
  });
}

function bandTitle(b: RandomBand): string {
  return `Random, ${b.k} removed: mean ${percent(b.mean)}, ${percent(b.low)} to ${percent(b.high)}`;
}
