/** Small charts over the layers: lines, or bars of two kinds beside each other. */
import * as Plot from "@observablehq/plot";
import { type Html, html } from "../html.ts";
import { isNumber, type Maybe } from "../text/numbers.ts";
import { draw, integerTicks, roundAxis } from "./draw.ts";
import { type LegendItem, legend } from "./figure.ts";

export interface Series {
  readonly label: string;
  readonly color: string;
  readonly dashed?: boolean;
  readonly values: readonly Maybe[];
}

export interface ByLayer {
  readonly title: string;
  readonly description: string;
  readonly series: readonly Series[];
  readonly kind: "lines" | "bars";
  readonly axis: string;
  readonly format: (value: number) => string;
  readonly scale?: "linear" | "log";
  /** Included in the axis whatever the data. */
  readonly include?: readonly number[];
  readonly reverse?: boolean;
  readonly ticks?: readonly number[];
  readonly marks?: readonly { readonly layer: number; readonly label: string }[];
}

interface Point {
  readonly layer: number;
  readonly value: number;
  readonly series: Series;
}

const width = 300;

export function byLayer(chart: ByLayer): Html {
  const points = chart.series.flatMap((series) =>
    series.values.flatMap((value, layer) =>
      isNumber(value) && (chart.scale !== "log" || value > 0) ? [{ layer, value, series }] : [],
    ),
  );
  const items: LegendItem[] = chart.series.map(({ label, color, dashed }) => ({
    label,
    color,
    mark: chart.kind === "bars" ? "area" : dashed ? "dashed" : "line",
  }));
  return html`${chart.series.length > 1 ? legend(items) : null}${picture(chart, points)}`;
}

function picture(chart: ByLayer, points: readonly Point[]): Html {
  const layers = Math.max(1, ...chart.series.map((s) => s.values.length));
  const values = [...points.map((p) => p.value), ...(chart.include ?? [])];
  const round = roundAxis(values);
  const log = chart.scale === "log";
  const ticks = log ? [...(chart.ticks ?? [])] : round.ticks;
  return draw({
    width,
    height: 220,
    title: chart.title,
    description: chart.description,
    marginLeft: 44,
    marginRight: 12,
    marginTop: 26,
    marginBottom: 40,
    x: { domain: [-0.5, layers - 0.5], axis: null },
    y: {
      type: chart.scale ?? "linear",
      domain: log ? [Math.min(1, ...values), Math.max(2, ...values)] : round.domain,
      reverse: chart.reverse ?? false,
      axis: null,
    },
    marks: [
      Plot.gridY({ ticks, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisY({
        ticks,
        tickSize: 0,
        tickFormat: chart.format,
        label: chart.axis,
        labelAnchor: "top",
        labelArrow: "none",
      }),
      Plot.axisX({
        ticks: integerTicks(layers, 9),
        tickSize: 3,
        tickFormat: (d: number) => String(d),
        label: "layer",
        labelAnchor: "center",
        labelArrow: "none",
      }),
      ...phaseMarks(chart.marks ?? [], layers),
      ...(chart.kind === "bars" ? barMarks(chart, points) : lineMarks(chart, points)),
    ],
  });
}

function phaseMarks(marks: NonNullable<ByLayer["marks"]>, layers: number): Plot.Markish[] {
  // Beside its line, on the side that has room.
  const labels = [true, false].map((left) =>
    Plot.text(
      marks.filter((mark) => mark.layer > layers * 0.7 === left),
      {
        x: "layer",
        text: "label",
        frameAnchor: "top",
        textAnchor: left ? "end" : "start",
        dx: left ? -3 : 3,
        dy: 2,
        lineAnchor: "top",
        fill: "var(--muted)",
        fontSize: 9.5,
      },
    ),
  );
  return [
    Plot.ruleX(marks, { x: "layer", stroke: "var(--muted)", strokeDasharray: "2 3" }),
    ...labels,
  ];
}

function lineMarks(chart: ByLayer, points: readonly Point[]): Plot.Markish[] {
  return chart.series.flatMap((series) => {
    const own = points.filter((p) => p.series === series);
    return [
      Plot.line(own, {
        x: "layer",
        y: "value",
        stroke: series.color,
        strokeWidth: 2.25,
        ...(series.dashed ? { strokeDasharray: "5 3" } : {}),
      }),
      Plot.dot(own, {
        x: "layer",
        y: "value",
        r: own.length > 16 ? 2 : 3,
        fill: series.color,
        title: (p: Point) => title(chart, p),
      }),
    ];
  });
}

function barMarks(chart: ByLayer, points: readonly Point[]): Plot.Markish[] {
  const n = chart.series.length;
  const bar = 0.76 / n;
  const left = (p: Point) => p.layer - 0.38 + chart.series.indexOf(p.series) * bar;
  return [
    Plot.rect(points, {
      x1: left,
      x2: (p: Point) => left(p) + bar,
      y1: 0,
      y2: "value",
      fill: (p: Point) => p.series.color,
      title: (p: Point) => title(chart, p),
    }),
    Plot.ruleY([0], { stroke: "var(--muted)" }),
  ];
}

function title(chart: ByLayer, p: Point): string {
  return `${chart.series.length > 1 ? `${p.series.label}, layer` : "Layer"} ${p.layer}: ${chart.format(p.value)}`;
}
