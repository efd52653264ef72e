/** Faithfulness of the first components of a ranking alone, over how many they are. */
import * as Plot from "@observablehq/plot";
import type { Html } from "../html.ts";
import type { SizeCurve } from "../results-validation.ts";
import { isNumber, number } from "../text/numbers.ts";
import { draw, roundAxis } from "./draw.ts";

type Point = SizeCurve["points"][number];

export function sizeCurves(all: readonly SizeCurve[], width: number): Html {
  const curves = all.map((curve) => ({
    ...curve,
    points: curve.points.filter(({ faithfulness }) => isNumber(faithfulness)),
  }));
  const points = curves.flatMap(({ points }) => points);
  const y = roundAxis([0, 1, ...points.map(({ faithfulness }) => faithfulness)]);
  const [first] = curves;
  const color = (curve: SizeCurve) => (curve.ranking === "signed" ? "var(--c-key)" : "var(--c-a)");
  return draw({
    ...{ width, height: 260, marginLeft: 48, marginRight: 16, marginTop: 14, marginBottom: 44 },
    title: "Faithfulness by size of the circuit",
    description: first
      ? `With half of the components the faithfulness is ${number(first.points.at(-2)?.faithfulness ?? Number.NaN)}.`
      : "There are no curves.",
    x: {
      label: "share of all components, %",
      labelAnchor: "center",
      labelArrow: "none",
      domain: [0, 100],
      ticks: [0, 20, 40, 60, 80, 100],
    },
    y: { label: null, domain: y.domain, ticks: y.ticks },
    marks: [
      Plot.gridY({ ticks: y.ticks, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.ruleY([1], { stroke: "var(--muted)", strokeDasharray: "4 3" }),
      ...curves.flatMap((curve) => [
        Plot.line(curve.points, {
          x: (point: Point) => 100 * point.share,
          y: "faithfulness",
          stroke: color(curve),
          strokeWidth: 2,
        }),
        Plot.dot(curve.points, {
          x: (point: Point) => 100 * point.share,
          y: "faithfulness",
          r: 3,
          fill: color(curve),
          title: ({ k, faithfulness }: Point) => `first ${k}: ${number(faithfulness)}`,
        }),
      ]),
    ],
  });
}
