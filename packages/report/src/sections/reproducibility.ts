/** Versions, seed, items, timings and memory: what another run needs to come to the same numbers. */
import { table } from "../charts/table.ts";
import { type Html, html } from "../html.ts";
import type { Dropped, Experiment, RunResult } from "../results.ts";
import {
  bytes,
  count,
  dateTime,
  digits,
  isNumber,
  percent,
  plural,
  seconds,
} from "../text/numbers.ts";
import type { Part } from "./part.ts";

export function reproducibility(run: RunResult): Part {
  const { model } = run;
  const rows: readonly (readonly [string, string])[] = [
    ["keyheads", run.keyheads],
    ["Created", dateTime(run.created)],
    ["Model", `${model.name} (${model.architecture})`],
    [
      "Shape",
      `${plural(model.layers, "layer")}, ${plural(model.heads, "head")}, ${count(model.kvHeads)} key/value, width ${digits(model.dModel)}`,
    ],
    ["Parameters", count(model.parameters)],
    ["Device", run.device],
    ["Precision", run.dtype],
    ["Seed", digits(run.seed)],
    ["Wall time", seconds(run.seconds)],
    ["Peak memory", bytes(run.peakBytes)],
    ["Schema of results.json", digits(run.schemaVersion)],
  ];
  const body = html`<div class="pair">
<div>${pairs("The run", rows)}</div>
<div>${timings(run)}</div>
</div>
<h3>Items</h3>
${items(run.experiments)}
<p class="note">The same numbers, unrounded, are in results.json beside this file.</p>`;
  return { id: "reproducibility", title: "Reproducibility", body };
}

function pairs(caption: string, rows: readonly (readonly [string, string])[]): Html {
  return table<readonly [string, string]>({
    caption,
    showCaption: true,
    columns: [
      { head: "What", cell: ([name]) => name, rowHead: true },
      { head: "Value", cell: ([, value]) => value },
    ],
    rows,
  });
}

function timings(run: RunResult): Html | null {
  const entries = Object.entries(run.timings ?? {}).filter(([, s]) => isNumber(s));
  if (entries.length === 0) return null;
  const sum = entries.reduce((total, [, s]) => total + s, 0);
  return table<readonly [string, number]>({
    caption: "Where the time went",
    showCaption: true,
    columns: [
      { head: "Step", cell: ([name]) => name, rowHead: true },
      { head: "Time", cell: ([, s]) => seconds(s), align: "right" },
      { head: "Share", cell: ([, s]) => (sum > 0 ? percent(s / sum, 0) : ""), align: "right" },
    ],
    rows: entries.sort(([, a], [, b]) => b - a),
  });
}

function items(experiments: readonly Experiment[]): Html {
  const rows = experiments.flatMap((e) =>
    [
      { part: "direct effect", counts: e.direct.items },
      e.knockout && { part: "knock-out", counts: e.knockout.items },
      e.attention && { part: "attention", counts: e.attention.items },
      e.lens && { part: "lens", counts: e.lens.items },
    ].flatMap((row) => (row ? [{ ...row, title: e.title }] : [])),
  );
  return table<(typeof rows)[number]>({
    caption: "Items used and dropped",
    columns: [
      { head: "Experiment", cell: (r) => r.title, rowHead: true },
      { head: "Part", cell: (r) => r.part },
      { head: "Used", cell: (r) => count(r.counts.used), align: "right" },
      { head: "Dropped", cell: (r) => count(r.counts.dropped.length), align: "right" },
      { head: "Why", cell: (r) => reasons(r.counts.dropped) },
    ],
    rows,
  });
}

/** Reasons with how often they came and the first line they came in. */
function reasons(dropped: readonly Dropped[]): string {
  const byReason = new Map<string, Dropped[]>();
  for (const item of dropped) byReason.set(item.why, [...(byReason.get(item.why) ?? []), item]);
  return [...byReason]
    .map(([why, all]) =>
      all.length === 1
        ? `line ${all[0]?.line}: ${why}`
        : `${count(all.length)} × ${why} (first: line ${all[0]?.line})`,
    )
    .join("; ");
}
