/** Accuracy of every class before and after tuning. */
import { beforeAfterChart } from "../charts/before-after.ts";
import { figure } from "../charts/figure.ts";
import { table } from "../charts/table.ts";
import { type Html, html } from "../html.ts";
import type { ClassAccuracy, RunResult } from "../results.ts";
import { count, isNumber, percent, percentRange, points } from "../text/numbers.ts";
import type { Part } from "./part.ts";
import { type ClassChange, changes } from "./summary.ts";

export function evaluation(run: RunResult): Part | null {
  const { before = [], after = [], description = "" } = run.evaluation ?? {};
  if (before.length === 0 && after.length === 0) return null;
  const rows = changes(run);
  const body = html`<p>${description}</p>
${
  rows.length > 0
    ? figure({
        chart: beforeAfterChart(
          rows.map((c) => ({ title: c.title, before: c.before.accuracy, after: c.after.accuracy })),
        ),
        caption: "Points gained or lost are at the right.",
      })
    : null
}
${rows.length > 0 ? changeTable(rows) : onlyTable(before.length > 0 ? before : after)}`;
  return { id: "evaluation", title: "Before and after tuning", body };
}

function withInterval(accuracy: ClassAccuracy): Html {
  const interval = accuracy.ci ? percentRange(accuracy.ci[0], accuracy.ci[1]) : null;
  return html`${percent(accuracy.accuracy)}${interval ? html`<br><small>${interval}</small>` : null}`;
}

function className(row: Pick<ClassAccuracy, "title" | "n" | "weight">): Html {
  const sampled = isNumber(row.weight) && row.weight > row.n ? ` of ${count(row.weight)}` : "";
  return html`${row.title}<br><small>${count(row.n)}${sampled} items</small>`;
}

function changeTable(rows: readonly ClassChange[]): Html {
  return table<ClassChange>({
    caption: "Accuracy by class with 95 % intervals",
    showCaption: true,
    columns: [
      { head: "Class", cell: (c) => className(c.before), rowHead: true },
      { head: "Before", cell: (c) => withInterval(c.before), align: "right" },
      { head: "After", cell: (c) => withInterval(c.after), align: "right" },
      { head: "Change (points)", cell: (c) => changeCell(c.change), align: "right" },
    ],
    rows,
  });
}

function changeCell(change: number): Html {
  const look = change > 0 ? "gain" : change < 0 ? "loss" : "same";
  return html`<span class="${look}">${points(change)}</span>`;
}

function onlyTable(rows: readonly ClassAccuracy[]): Html {
  return table<ClassAccuracy>({
    caption: "Accuracy by class with 95 % intervals",
    showCaption: true,
    columns: [
      { head: "Class", cell: className, rowHead: true },
      { head: "Accuracy", cell: withInterval, align: "right" },
    ],
    rows,
  });
}
