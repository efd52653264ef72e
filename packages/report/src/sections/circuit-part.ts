/** Is the named set the circuit: faithfulness, completeness, minimality, curves over size. */
import { figure, legend, responsive } from "../charts/figure.ts";
import { minimalityBars } from "../charts/minimality.ts";
import { sizeCurves } from "../charts/size-curve.ts";
import { table } from "../charts/table.ts";
import { html } from "../html.ts";
import type { Experiment } from "../results.ts";
import type { CircuitResult, MinimalityResult } from "../results-validation.ts";
import { list, number, percent } from "../text/numbers.ts";
import type { Part } from "./part.ts";

export function circuitPart({ circuit }: Experiment, prefix: string): Part | null {
  if (!circuit) return null;
  const { components, of, faithfulness, completeness, minimality, sizes, mlpsOutside } = circuit;
  const range = circuit.full - circuit.empty;
  const body = html`<p>${list(components)}, ${components.length} of ${of} components that can be removed, stay;
everything else is replaced${mlpsOutside === "kept" ? ", except for the MLPs, which all stay" : ""}. With it the
model keeps <strong>${percent(faithfulness.mean)}</strong> of its ${circuit.metric} (${percent(faithfulness.low)} to
${percent(faithfulness.high)}): that is its faithfulness, 0 % being everything replaced and 100 % nothing.</p>
${
  completeness
    ? html`<p>Completeness: whatever part of it is removed from circuit and model alike, the two differ by
at most <strong>${percent(Math.abs(completeness.share))}</strong> of the model's range${
        completeness.worst.removed.length > 0
          ? html`, without ${list(completeness.worst.removed)}`
          : ", with nothing removed"
      }. Less is better: what the model has beyond the circuit does little then.</p>`
    : null
}
<div class="pair">
${
  minimality
    ? figure({
        title: "Is every part needed?",
        chart: responsive((width) => minimalityBars(minimality, range, width), 400),
        caption:
          "The largest effect that removing a part has, whatever other parts were removed before. A grey bar is worth no more than a random head that is no part of the circuit.",
        table: minimalityTable(minimality),
      })
    : null
}
${
  sizes
    ? figure({
        title: "How many are enough? Faithfulness of the first ones alone",
        legend: legend([
          { label: "most helpful first", color: "var(--c-key)", mark: "line" },
          { label: "largest effect first", color: "var(--c-a)", mark: "line" },
        ]),
        chart: responsive((width) => sizeCurves(sizes, width), 400),
        caption: `Area under the first curve (CPR): ${number(circuit.cpr ?? Number.NaN)}. Area between the second and 1 (CMD): ${number(circuit.cmd ?? Number.NaN)}.`,
        table: sizeTable(sizes),
      })
    : null
}
</div>`;
  return { id: `${prefix}-circuit`, title: "Enough, complete, needed?", body };
}

function minimalityTable({ components }: MinimalityResult) {
  return table<MinimalityResult["components"][number]>({
    caption: "Minimality of every part",
    columns: [
      { head: "Part", cell: ({ component }) => component, rowHead: true },
      { head: "Largest effect", cell: ({ effect }) => number(effect), align: "right" },
      { head: "Share", cell: ({ share }) => percent(Math.abs(share)), align: "right" },
      {
        head: "Random heads with as much",
        cell: ({ atLeast }) => percent(atLeast),
        align: "right",
      },
      { head: "Removed before", cell: ({ without }) => list(without) || "nothing" },
    ],
    rows: components,
  });
}

function sizeTable([signed, absolute]: NonNullable<CircuitResult["sizes"]>) {
  return table({
    caption: "Faithfulness by size",
    columns: [
      { head: "Share", cell: ({ share }) => percent(share), rowHead: true },
      { head: "Components", cell: ({ k }) => String(k), align: "right" },
      { head: "Most helpful", cell: ({ faithfulness }) => number(faithfulness), align: "right" },
      {
        head: "Largest",
        cell: (row) => number(absolute?.points[row.i]?.faithfulness ?? Number.NaN),
        align: "right",
      },
    ],
    rows: (signed?.points ?? []).map((point, i) => ({ ...point, i })),
  });
}
