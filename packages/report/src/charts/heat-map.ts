/**
 * Layer x head heat map with the MLPs as a column of their own. Blue helps the answer, orange works
 * against it. Strength grows with the size to the power 0.6, so that a 4 % head beside a 90 % MLP is
 * still seen; the legend shows the same scale, and the number is in the cell.
 */
import * as Plot from "@observablehq/plot";
import { type EffectView, largest } from "../effects.ts";
import { type Html, html } from "../html.ts";
import { cellShare, isNumber, type Maybe, number } from "../text/numbers.ts";
import { draw, integerTicks } from "./draw.ts";
import { scrollBox } from "./figure.ts";

export interface HeatMap {
  readonly view: EffectView;
  /** Size at full colour: give maps that are compared the same. */
  readonly domain: number;
  readonly width: number;
  readonly title: string;
  readonly description: string;
  /** Smallest cell; a map that needs more width than `width` scrolls. */
  readonly minCell: number;
  readonly maxCell: number;
  /** Keeps its size on a narrow page and scrolls there. */
  readonly scrolls?: boolean;
}

interface Cell {
  readonly x: number;
  readonly y: number;
  readonly name: string;
  readonly value: Maybe;
  readonly key: boolean;
}

const gap = 0.4;
const margin = { left: 40, right: 4, top: 40, bottom: 4 };

/** A round number at or above the largest size in any of the views. */
export function niceDomain(views: readonly EffectView[]): number {
  const most = Math.max(0, ...views.map(largest));
  if (most === 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  // 0.3 / 0.1 is a hair above 3.
  return Math.ceil(most / power - 1e-9) * power;
}

export function heatMap(map: HeatMap): Html {
  const { view } = map;
  const columns = view.heads + (view.mlpValues.length > 0 ? gap + 1 : 0);
  const room = (map.width - margin.left - margin.right) / Math.max(1, columns);
  const cellWidth = Math.min(map.maxCell, Math.max(map.minCell, Math.floor(room)));
  const cellHeight = Math.min(cellWidth, 34);
  const width = Math.ceil(margin.left + margin.right + Math.max(1, columns) * cellWidth);
  const height = margin.top + margin.bottom + Math.max(1, view.layers) * cellHeight;
  const scrolls = map.scrolls || width > map.width;
  const chart = draw({
    width,
    height,
    title: map.title,
    description: map.description,
    keepSize: scrolls,
    marginLeft: margin.left,
    marginRight: margin.right,
    marginTop: margin.top,
    marginBottom: margin.bottom,
    x: { domain: [0, Math.max(1, columns)], axis: null },
    y: { domain: [0, Math.max(1, view.layers)], reverse: true, axis: null },
    marks: [...cellMarks(map, cells(view), cellWidth), ...axisMarks(view, cellWidth, cellHeight)],
  });
  return scrolls ? scrollBox(`${map.title} (scrolls sideways)`, chart) : chart;
}

function cells(view: EffectView): Cell[] {
  const all: Cell[] = [];
  for (let y = 0; y < view.layers; y++) {
    for (let x = 0; x < view.heads; x++) {
      const name = `${y}.${x}`;
      const value = view.headValues[y]?.[x];
      all.push({ x, y, name: `Head ${name}`, value, key: view.keyHeads.has(name) });
    }
    if (y < view.mlpValues.length) {
      const value = view.mlpValues[y];
      const x = view.heads + gap;
      all.push({ x, y, name: `MLP ${y}`, value, key: view.keyMlps.has(y) });
    }
  }
  return all;
}

function cellMarks(map: HeatMap, all: readonly Cell[], size: number): Plot.Markish[] {
  const { view, domain } = map;
  const box = {
    x1: (d: Cell) => d.x,
    x2: (d: Cell) => d.x + 1,
    y1: (d: Cell) => d.y,
    y2: (d: Cell) => d.y + 1,
  };
  const spacing = size >= 14 ? 1 : 0.5;
  const marks: Plot.Markish[] = [
    Plot.rect(all, {
      ...box,
      inset: spacing,
      rx: size >= 14 ? 2 : 0,
      fill: (d: Cell) => colour(d.value),
      fillOpacity: { value: (d: Cell) => strength(d.value, domain), scale: null },
      stroke: "var(--line)",
      strokeWidth: 0.5,
      title: (d: Cell) => `${d.name}: ${view.format(d.value)}${d.key ? " (key)" : ""}`,
    }),
  ];
  if (size >= 20) {
    marks.push(
      Plot.text(all, {
        x: (d: Cell) => d.x + 0.5,
        y: (d: Cell) => d.y + 0.5,
        text: (d: Cell) => cellText(view, d.value, size),
        fill: (d: Cell) => ink(d.value, domain),
        fontSize: size >= 34 ? 11.5 : size >= 26 ? 10 : 8.5,
        pointerEvents: "none",
      }),
    );
  }
  marks.push(
    Plot.rect(
      all.filter((d) => d.key),
      {
        ...box,
        inset: spacing,
        rx: size >= 14 ? 2 : 0,
        fill: "none",
        stroke: "var(--ink)",
        strokeWidth: size >= 20 ? 2 : 1.25,
        pointerEvents: "none",
      },
    ),
  );
  return marks;
}

function axisMarks(view: EffectView, cellWidth: number, cellHeight: number): Plot.Markish[] {
  const middle = (n: number) => n + 0.5;
  const headTicks = integerTicks(view.heads, Math.floor((view.heads * cellWidth) / 20));
  const layerTicks = integerTicks(view.layers, Math.floor((view.layers * cellHeight) / 14));
  const style = { fill: "var(--muted)", frameAnchor: "top-left" as const };
  const row = { lineAnchor: "middle" as const };
  const marks: Plot.Markish[] = [
    Plot.text(headTicks, { ...style, x: middle, text: String, dy: -14, textAnchor: "middle" }),
    Plot.text(layerTicks, { ...style, ...row, y: middle, text: String, dx: -8, textAnchor: "end" }),
    Plot.text(["Head"], { ...style, x: view.heads / 2, dy: -34, textAnchor: "middle" }),
    Plot.text(["Layer"], {
      ...style,
      ...row,
      y: view.layers / 2,
      dx: -32,
      rotate: -90,
      textAnchor: "middle",
    }),
  ];
  if (view.mlpValues.length > 0) {
    const x = view.heads + gap + 0.5;
    marks.push(Plot.text(["MLP"], { ...style, x, dy: -14, textAnchor: "middle" }));
  }
  return marks;
}

function colour(value: Maybe): string {
  if (!isNumber(value)) return "none";
  return value < 0 ? "var(--against)" : "var(--helps)";
}

function strength(value: Maybe, domain: number): number {
  return isNumber(value) ? Math.min(1, (Math.abs(value) / domain) ** 0.6) : 0;
}

/** Text that stays readable on the cell, in both schemes: see page/style.ts. */
function ink(value: Maybe, domain: number): string {
  const s = strength(value, domain);
  return s > 0.8 ? "var(--cell-strong)" : s > 0.58 ? "var(--cell-middle)" : "var(--cell-weak)";
}

function cellText(view: EffectView, value: Maybe, size: number): string {
  if (!isNumber(value)) return "–";
  if (view.unit === "effect") return number(value, size >= 34 ? 2 : 1);
  // In a map of a thousand heads the zeros would hide the rest.
  if (size < 26 && Math.abs(value) < 0.005) return "";
  const roomy = size >= 34 && Math.abs(value) < 0.0995;
  return cellShare(value, roomy ? 1 : 0);
}

/** The colour scale as a strip, on the same curve. */
export function heatLegend(view: EffectView, domain: number): Html {
  // 64 steps of 4 px each: edges on whole pixels leave no seams.
  const n = 64;
  const strip = Array.from({ length: n }, (_, i) => -domain + ((i + 0.5) * 2 * domain) / n);
  const place = (v: number) => Math.sign(v) * strength(v, domain);
  const ticks = [-domain, -domain / 4, 0, domain / 4, domain];
  const edges = (i: number) => -1 + (2 * i) / n;
  const chart = draw({
    width: 300,
    height: 34,
    title: "Colour scale",
    description: `From ${view.format(-domain)}, orange, over 0 to ${view.format(domain)}, blue.`,
    marginLeft: 22,
    marginRight: 22,
    marginTop: 2,
    marginBottom: 18,
    x: { domain: [-1, 1], axis: null },
    y: { axis: null, domain: [0, 1] },
    marks: [
      Plot.rect(strip, {
        x1: (_: number, i: number) => edges(i),
        x2: (_: number, i: number) => edges(i + 1),
        y1: 0,
        y2: 1,
        fill: colour,
        fillOpacity: {
          value: (_: number, i: number) => Math.abs((edges(i) + edges(i + 1)) / 2),
          scale: null,
        },
        shapeRendering: "crispEdges",
      }),
      Plot.text(ticks, {
        x: place,
        text: (v: number) => view.format(v),
        frameAnchor: "bottom",
        dy: 14,
        fill: "var(--muted)",
        fontSize: 10.5,
      }),
    ],
  });
  return html`<div class="heat-legend">${chart}<span>Blue helps the answer, orange works against it. Outlined: the key components of each map.</span></div>`;
}
