/** Approximations by gradients beside the exact answers that they stand for. */
import { disclosure, figure, legend, responsive } from "../charts/figure.ts";
import { methodsChart, methodsMargin } from "../charts/methods.ts";
import { type Column, table } from "../charts/table.ts";
import { html } from "../html.ts";
import type { Experiment } from "../results.ts";
import type { CompareMethodsResult, MethodJudgement } from "../results-methods.ts";
import {
  count,
  hundredths,
  list,
  number,
  percent,
  percentRange,
  seconds,
} from "../text/numbers.ts";
import type { Part } from "./part.ts";

interface Row extends MethodJudgement {
  readonly estimand: string;
}

export function methodsPart({ methods }: Experiment, prefix: string): Part | null {
  const estimands = methods?.estimands.filter((one) => one.methods.length > 0) ?? [];
  const [first] = estimands;
  if (!methods || !first) return null;
  const left = methodsMargin(estimands);
  const k = Math.min(...estimands.map((one) => one.methods[0]?.overlap.k ?? 0));
  const body = html`<p>Everything above is exact: one run for every head, MLP or path. Gradients guess the
same numbers from a single pass. On ${count(methods.items.used)} items each method is held against its own exact
answer: does it rank the same components first, and are the exact top ${k} among its own? Where a curve is
steep or flat between the two prompts, a gradient is wrong.</p>
${legend([
  { label: "ranking, rank-biased overlap", color: "var(--c-key)", mark: "dot" },
  { label: "share of the exact top found", color: "var(--c-a)", mark: "ring" },
  { label: "that share by chance", color: "var(--muted)", mark: "dashed" },
])}
<div class="pair">${estimands.map((one) =>
    figure({
      title: title(one.estimand),
      chart: responsive((width) => methodsChart(one, width, left), 400),
      caption: `${count(one.of)} ${one.estimand === "edges" ? "edges" : "heads and MLPs"}, exactly in ${seconds(one.seconds)}; lines are 95 % intervals`,
    }),
  )}</div>
${notes(methods)}
${disclosure("Show the numbers", methodTable(estimands.flatMap(rows)))}`;
  return { id: `${prefix}-methods`, title: "Would gradients have found the same?", body };
}

const title = (estimand: string) => estimand.charAt(0).toUpperCase() + estimand.slice(1);

function rows({ estimand, methods }: CompareMethodsResult["estimands"][number]): Row[] {
  return methods.map((method) => ({ ...method, estimand }));
}

function notes({ skipped }: CompareMethodsResult) {
  if (skipped.length === 0) return null;
  const left = skipped.map(({ estimand, why }) => `${estimand} (${why})`);
  return html`<p class="note">Left out: ${list(left)}.</p>`;
}

function methodTable(all: readonly Row[]) {
  const columns: Column<Row>[] = [
    { head: "Method", cell: ({ method }) => method, rowHead: true },
    { head: "Stands for", cell: ({ estimand }) => estimand },
    { head: "Ranking", cell: ({ rank }) => hundredths(rank.mean), align: "right" },
    {
      head: "95 % interval",
      cell: ({ rank }) => `${hundredths(rank.low)} to ${hundredths(rank.high)}`,
      align: "right",
    },
    { head: "Top found", cell: ({ overlap }) => percent(overlap.mean, 0), align: "right" },
    {
      head: "95 % interval",
      cell: ({ overlap }) => percentRange(overlap.low, overlap.high, 0),
      align: "right",
    },
    { head: "Same sign", cell: ({ sign }) => percent(sign.mean, 0), align: "right" },
    { head: "Error", cell: ({ error }) => percent(error, 0), align: "right" },
  ];
  if (all.some(({ circuit }) => circuit)) {
    columns.push(
      { head: "CPR", cell: ({ circuit }) => number(circuit?.cpr), align: "right" },
      { head: "CMD", cell: ({ circuit }) => number(circuit?.cmd), align: "right" },
    );
  }
  columns.push({ head: "Time", cell: (row) => seconds(row.seconds), align: "right" });
  return table({ caption: "Approximations and their exact answers", columns, rows: all });
}
