/** What every part of a circuit is worth, beside random heads that are no part of it. */
import * as Plot from "@observablehq/plot";
import type { Html } from "../html.ts";
import type { MinimalityResult } from "../results-validation.ts";
import { isNumber, percent } from "../text/numbers.ts";
import { draw } from "./draw.ts";

type Bar = MinimalityResult["components"][number];

export function minimalityBars(result: MinimalityResult, range: number, width: number): Html {
  const bars = result.components
    .filter(({ share }) => isNumber(share))
    .sort((a, b) => b.share - a.share);
  const high = (100 * result.random.high) / Math.abs(range);
  const limit = isNumber(high) ? high : 0;
  const value = (bar: Bar) => 100 * Math.abs(bar.share);
  const most = Math.max(limit, ...bars.map(value));
  const strongest = bars[0];
  return draw({
    width,
    height: 22 * bars.length + 62,
    title: "What every part of the circuit is worth",
    description: strongest
      ? `${strongest.component} is worth most, ${percent(Math.abs(strongest.share))} of the model's range. ` +
        `95 percent of random heads are below ${percent(limit / 100)}.`
      : "The circuit has no parts.",
    marginLeft: 60,
    marginRight: 12,
    marginTop: 18,
    marginBottom: 40,
    x: {
      label: "largest effect of removing it too, % of the model's range",
      labelAnchor: "center",
      labelArrow: "none",
      domain: [0, most * 1.15 || 1],
      ticks: 5,
    },
    y: { label: null, domain: bars.map(({ component }) => component), tickSize: 0 },
    marks: [
      Plot.gridX({ ticks: 5, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.barX(bars, {
        y: "component",
        x: value,
        insetTop: 3,
        insetBottom: 3,
        fill: (bar: Bar) => (value(bar) > limit ? "var(--helps)" : "var(--c-random)"),
        title: (bar: Bar) =>
          `${bar.component}: ${percent(Math.abs(bar.share))}, with ${bar.without.join(", ") || "nothing"} removed before`,
      }),
      Plot.ruleX([limit], { stroke: "var(--ink)", strokeDasharray: "4 3" }),
      Plot.text(bars, {
        y: "component",
        x: value,
        text: (bar: Bar) => percent(Math.abs(bar.share)),
        textAnchor: "start",
        dx: 5,
        fill: "var(--ink)",
        // The line of random heads may run through a label.
        stroke: "var(--surface)",
        strokeWidth: 4,
      }),
      Plot.text([limit], {
        x: (x: number) => x,
        frameAnchor: "top",
        dy: -14,
        text: () => "95 % of random heads",
        textAnchor: "start",
        fill: "var(--muted)",
      }),
    ],
  });
}
