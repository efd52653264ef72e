/** The circuit as a graph whose weak edges a slider hides, and its edges as a table. */
import { circuitGraph, widestRow } from "../charts/circuit-graph.ts";
import { figure, legend, responsive, scrollBox } from "../charts/figure.ts";
import { table } from "../charts/table.ts";
import { html } from "../html.ts";
import type { Experiment } from "../results.ts";
import type { GraphEdge } from "../results-validation.ts";
import { count, isNumber, number, percent } from "../text/numbers.ts";
import type { Part } from "./part.ts";

const mostRows = 40;

export function circuitGraphPart({ graph, direct }: Experiment, prefix: string): Part | null {
  const shown = (graph?.edges ?? []).filter(({ effect }) => isNumber(effect));
  if (!graph || shown.length === 0) return null;
  const harm = graph.effect === "ie" || graph.effect === "normalised" ? 1 : -1;
  const strongest = shown.reduce((a, b) => (Math.abs(b.effect) > Math.abs(a.effect) ? b : a));
  const id = `${prefix}-graph`;
  const key = new Set([...direct.keyHeads, ...direct.keyMlps.map((layer) => `mlp ${layer}`)]);
  const chart = (width: number) =>
    circuitGraph({
      ...{ edges: shown, key, harm, width },
      title: "The circuit as a graph",
      description: `The strongest edge goes from ${strongest.from} to ${strongest.to}.`,
    });
  const small = widestRow(shown) <= 6;
  const body = html`<p>What one part writes and a later one reads, as far as it changes the answer: the
${count(shown.length)} strongest of ${count(graph.edgeCount)} edges, found by ${graph.method}. The embeddings are below, the
logits above; heads are round, MLPs square; queries, keys and values reach a head at its left, middle and
right. Parts with a thick frame are the key heads and MLPs of the direct effects.${
    graph.faithfulness
      ? html` By themselves, with every other edge as on the counterfactual prompt, these edges keep
<strong>${percent(graph.faithfulness.mean)}</strong> (${percent(graph.faithfulness.low)} to
${percent(graph.faithfulness.high)}) of what lies between counterfactual and prompt, on other items than those
they were found on.`
      : null
  }</p>
<div class="prune" data-prune="${id}-drawing" hidden>
<label for="${id}-range">Hide edges weaker than</label>
<input id="${id}-range" type="range" min="0" max="100" value="0" step="1">
<output for="${id}-range" aria-live="polite"></output>
</div>
${figure({
  chart: html`<div id="${id}-drawing">${
    small ? responsive(chart, 880) : scrollBox("The circuit as a graph", chart(880))
  }</div>`,
  legend: legend([
    { label: "helps the answer", color: "var(--helps)", mark: "line" },
    { label: "works against it", color: "var(--against)", mark: "line" },
  ]),
  table: edgeTable(shown),
  tableLabel: `Show the ${Math.min(mostRows, shown.length)} strongest edges as a table`,
})}`;
  return { id, title: "The circuit", body };
}

function edgeTable(edges: readonly GraphEdge[]) {
  const rows = [...edges]
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, mostRows);
  return table<GraphEdge>({
    caption: "Edges of the circuit by size of their effect",
    columns: [
      { head: "From", cell: ({ from }) => from, rowHead: true },
      { head: "To", cell: ({ to }) => to },
      { head: "Effect", cell: ({ effect }) => number(effect), align: "right" },
      {
        head: "95 % interval",
        cell: ({ ci: [low, high] }) => `${number(low)} to ${number(high)}`,
        align: "right",
      },
    ],
    rows,
  });
}
