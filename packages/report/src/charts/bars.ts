/** The strongest components as horizontal bars with their intervals. */
import * as Plot from "@observablehq/plot";
import type { Component, EffectView } from "../effects.ts";
import type { Html } from "../html.ts";
import { draw } from "./draw.ts";

export function topBars(
  view: EffectView,
  options: { kind: Component["kind"]; most: number; width: number },
): Html {
  const shown = view.ranked.filter((c) => c.kind === options.kind).slice(0, options.most);
  const factor = view.unit === "share" ? 100 : 1;
  const low = (d: Component) => Math.min(0, d.value, d.interval?.[0] ?? 0) * factor;
  const high = (d: Component) => Math.max(0, d.value, d.interval?.[1] ?? 0) * factor;
  const from = Math.min(0, ...shown.map(low));
  const to = Math.max(0, ...shown.map(high));
  // Room for the value behind the longest bar.
  const room = (to - from || 1) * 0.16;
  const strongest = shown[0];
  return draw({
    width: options.width,
    height: 22 * Math.max(1, shown.length) + 46,
    title: options.kind === "head" ? "Strongest heads" : "Strongest MLPs",
    description: strongest
      ? `${strongest.name} is the strongest with ${view.format(strongest.value)}.`
      : "No component has a value.",
    marginLeft: 56,
    marginRight: 8,
    marginTop: 6,
    marginBottom: 40,
    x: {
      label: view.axis,
      labelAnchor: "center",
      labelArrow: "none",
      domain: [from, to + room],
      ticks: 5,
    },
    y: { label: null, domain: shown.map((d) => d.name), tickSize: 0 },
    marks: [
      Plot.gridX({ ticks: 5, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.barX(shown, {
        y: "name",
        x1: 0,
        x2: (d: Component) => d.value * factor,
        insetTop: 3,
        insetBottom: 3,
        fill: (d: Component) => (d.value < 0 ? "var(--against)" : "var(--helps)"),
        fillOpacity: { value: (d: Component) => (d.key ? 1 : 0.5), scale: null },
        title: (d: Component) => describe(view, d),
      }),
      Plot.ruleY(
        shown.filter((d) => d.interval),
        {
          y: "name",
          x1: (d: Component) => (d.interval?.[0] ?? 0) * factor,
          x2: (d: Component) => (d.interval?.[1] ?? 0) * factor,
          stroke: "var(--ink)",
          strokeWidth: 1.5,
        },
      ),
      Plot.text(shown, {
        y: "name",
        x: high,
        text: (d: Component) => view.format(d.value),
        textAnchor: "start",
        dx: 6,
        fill: "var(--ink)",
      }),
      Plot.ruleX([0], { stroke: "var(--muted)" }),
    ],
  });
}

function describe(view: EffectView, d: Component): string {
  const title = d.kind === "head" ? `Head ${d.name}` : d.name;
  const interval = d.interval
    ? `, interval ${view.format(d.interval[0])} to ${view.format(d.interval[1])}`
    : "";
  return `${title}: ${view.format(d.value)}${interval}`;
}
