/** Accuracy of every class before and after, as two dots joined by a line. */
import * as Plot from "@observablehq/plot";
import { type Html, html } from "../html.ts";
import { percent, points } from "../text/numbers.ts";
import { clip, draw } from "./draw.ts";
import { legend, responsive } from "./figure.ts";

export interface Change {
  readonly title: string;
  readonly before: number;
  readonly after: number;
}

export function beforeAfterChart(changes: readonly Change[]): Html {
  return html`${legend([
    { label: "before", color: "var(--muted)", mark: "ring" },
    { label: "after, better", color: "var(--helps)", mark: "dot" },
    { label: "after, worse", color: "var(--against)", mark: "dot" },
  ])}
${responsive((width) => dumbbells(changes, width), 680)}`;
}

function dumbbells(changes: readonly Change[], width: number): Html {
  const lowest = Math.min(1, ...changes.flatMap((c) => [c.before, c.after]));
  // A round start below the lowest value; never a blown-up axis of a percent or two.
  const from = Math.max(0, Math.min(0.9, Math.floor(lowest * 10 - 0.2) / 10));
  const color = (d: Change) => (d.after < d.before ? "var(--against)" : "var(--helps)");
  const rows = changes.map((_, i) => String(i));
  const y = (_: Change, i: number) => rows[i] ?? "";
  const hint = (d: Change) =>
    `${d.title}: ${percent(d.before)} before, ${percent(d.after)} after (${points(d.after - d.before)} points)`;
  return draw({
    width,
    height: changes.length * 46 + 44,
    title: "Accuracy before and after tuning",
    description: changes.map(hint).join("; "),
    marginLeft: 12,
    marginRight: 58,
    marginTop: 4,
    marginBottom: 40,
    x: {
      domain: [from, 1],
      label: "accuracy",
      labelAnchor: "center",
      labelArrow: "none",
      tickFormat: (v: number) => percent(v, 0),
      ticks: 5,
    },
    y: { type: "point", domain: rows, axis: null, padding: 0.5 },
    marks: [
      Plot.gridX({ ticks: 5, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.text(changes, {
        y,
        text: (d: Change) => clip(d.title, width - 80),
        frameAnchor: "left",
        textAnchor: "start",
        dy: -11,
        fill: "var(--ink)",
      }),
      Plot.link(changes, {
        y1: y,
        y2: y,
        x1: "before",
        x2: "after",
        stroke: color,
        strokeWidth: 3,
        strokeOpacity: 0.55,
        dy: 7,
      } as Plot.LinkOptions),
      Plot.dot(changes, {
        y,
        x: "before",
        r: 4.5,
        stroke: "var(--muted)",
        strokeWidth: 2,
        fill: "var(--surface)",
        dy: 7,
        title: hint,
      }),
      Plot.dot(changes, { y, x: "after", r: 5, fill: color, dy: 7, title: hint }),
      Plot.text(changes, {
        y,
        text: (d: Change) => points(d.after - d.before),
        frameAnchor: "right",
        textAnchor: "start",
        dx: 10,
        dy: 7,
        fill: color,
        fontWeight: 600,
      }),
    ],
  });
}
