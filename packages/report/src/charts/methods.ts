/** How well approximations agree with the exact answers that they stand for, with intervals. */
import * as Plot from "@observablehq/plot";
import type { Html } from "../html.ts";
import type { Agreed, EstimandJudgement } from "../results-methods.ts";
import { hundredths, number, percent } from "../text/numbers.ts";
import { clip, draw, textWidth } from "./draw.ts";

interface Row {
  readonly method: string;
  readonly rank: Agreed;
  readonly overlap: Agreed & { readonly k: number; readonly chance: number };
  readonly faster: number;
}

const rowHeight = 30;
/** Two marks a row: one above, one below its middle. */
const shift = 6;
const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1] as const;

export function methodsChart(
  { estimand, methods }: EstimandJudgement,
  width: number,
  left: number,
): Html {
  const rows = methods.map(
    ({ method, rank, overlap, speedup }): Row => ({ method, rank, overlap, faster: speedup }),
  );
  const right = 86;
  const [first] = rows;
  const chance = first?.overlap.chance ?? 0;
  const best = rows.reduce<Row | undefined>(
    (a, b) => (!a || b.rank.mean > a.rank.mean ? b : a),
    undefined,
  );
  const series = (of: (row: Row) => Agreed, dy: number, color: string, filled: boolean) => [
    Plot.ruleY(rows, {
      ...{ y: "method", dy, stroke: color, strokeWidth: 1.5 },
      x1: (row: Row) => of(row).low,
      x2: (row: Row) => of(row).high,
    }),
    Plot.dot(rows, {
      ...{ y: "method", dy, r: 4.5, stroke: color, strokeWidth: 1.5 },
      x: (row: Row) => of(row).mean,
      fill: filled ? color : "var(--surface)",
      title: (row: Row) =>
        filled
          ? `${row.method}: ranking ${hundredths(of(row).mean)} (${hundredths(of(row).low)} to ${hundredths(of(row).high)})`
          : `${row.method}: ${percent(of(row).mean, 0)} of the top ${row.overlap.k} (${percent(of(row).low, 0)} to ${percent(of(row).high, 0)})`,
    }),
  ];
  return draw({
    width,
    height: rowHeight * rows.length + 58,
    title: `Approximations of ${estimand}`,
    description: best
      ? `${best.method} agrees most: rank-biased overlap ${hundredths(best.rank.mean)}, ${percent(best.overlap.mean, 0)} of the top ${best.overlap.k}.`
      : "No approximation was measured.",
    marginLeft: left,
    marginRight: right,
    marginTop: 18,
    marginBottom: 40,
    x: {
      label: "agreement with the exact answer",
      labelAnchor: "center",
      labelArrow: "none",
      domain: [0, 1],
      ticks: [...ticks],
    },
    y: {
      label: null,
      domain: rows.map(({ method }) => method),
      tickSize: 0,
      tickFormat: (method: string) => clip(method, left),
    },
    marks: [
      Plot.gridX({ ticks: [...ticks], stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.ruleX([chance], { stroke: "var(--muted)", strokeDasharray: "4 3" }),
      ...series(({ rank }) => rank, -shift, "var(--c-key)", true),
      ...series(({ overlap }) => overlap, shift, "var(--c-a)", false),
      Plot.text(rows, {
        ...{ y: "method", frameAnchor: "right", textAnchor: "start", dx: 12 },
        text: ({ faster }: Row) => fasterText(faster),
        fill: "var(--muted)",
      }),
    ],
  });
}

/** Margin for the longest name. */
export const methodsMargin = (all: readonly EstimandJudgement[]): number =>
  Math.max(
    60,
    ...all.flatMap(({ methods }) => methods.map(({ method }) => textWidth(method) + 12)),
  );

function fasterText(times: number): string {
  if (!Number.isFinite(times)) return "";
  if (times > 0.9 && times < 1.1) return "as fast";
  return times >= 1 ? `${number(times, 2)}× faster` : `${number(1 / times, 2)}× slower`;
}
