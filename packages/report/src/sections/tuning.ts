/** Was localisation worth it? Every method at the same gain: updates, collateral, verdict. */
import { disclosure, figure } from "../charts/figure.ts";
import { type Column, table } from "../charts/table.ts";
import { scatterDomains, tuningLegend, tuningScatter } from "../charts/tuning.ts";
import { type Html, html } from "../html.ts";
import type { RunResult, TunedMethod, TuningComparison } from "../results.ts";
import {
  count,
  digits,
  isNumber,
  list,
  magnitude,
  missing,
  plain,
  plural,
  points,
  share,
  signed,
} from "../text/numbers.ts";
import { type MethodGroup, methodGroups, type Spread, spread } from "../tuning-groups.ts";
import { isolation } from "./isolation.ts";
import type { Part } from "./part.ts";

export function tuning(run: RunResult): Part | null {
  const comparison = run.tuning;
  if (!comparison) return null;
  const groups = methodGroups(comparison);
  const target =
    comparison.before.find((c) => c.name === comparison.target)?.title ?? comparison.target;
  const body = html`<p>Every method trains until it has gained ${plain(comparison.matchedGain)} points on
“${target}”, each with its own learning rate. At the same gain, two things count: how many
updates it took, and what it cost everywhere else (collateral). Replay mixes other items into
the training.</p>
${verdict(comparison)}
${charts(comparison)}
${groupTable(groups)}
${disclosure("Change of every class by method (points)", classTable(comparison, groups))}
${disclosure(`All ${plural(comparison.methods.length, "run")}`, runTable(comparison.methods))}
${isolation(comparison.isolation)}`;
  return { id: "tuning", title: "Was choosing the heads worth it?", body };
}

function verdict({ verdict: v }: TuningComparison): Html {
  const { updatesPercentile: updates, collateralPercentile: collateral } = v;
  return html`<div class="verdict ${v.supported ? "yes" : "no"}">
<p><span class="badge ${v.supported ? "supported" : "not-supported"}">${v.supported ? "Supported" : "Not supported"}</span> ${v.text}</p>
${
  isNumber(updates) && isNumber(collateral)
    ? html`<p class="note">“Supported” asks that at most 5 % of the layer-matched random draws do as well as the key heads, in updates and in collateral alike; here ${share(updates)} and ${share(collateral)} do.</p>`
    : null
}
</div>`;
}

function charts(comparison: TuningComparison): Html | null {
  const domains = scatterDomains(comparison.methods);
  const panels = [false, true].flatMap((replay) => {
    const methods = comparison.methods.filter((m) => m.replay === replay);
    if (methods.length === 0) return [];
    const title = replay ? "With replay" : "Without replay";
    return [
      figure({
        title,
        chart: tuningScatter(methods, domains, title),
        caption: neverReached(methods),
      }),
    ];
  });
  if (panels.length === 0) return null;
  return html`${tuningLegend(comparison.methods)}
<div class="pair">${panels}</div>
<p class="note">Better is down and to the left.</p>`;
}

function neverReached(methods: readonly TunedMethod[]): string | null {
  const missed = methods.filter((m) => !isNumber(m.updates)).map((m) => m.title);
  if (missed.length === 0) return null;
  const named = missed.length > 4 ? `${plural(missed.length, "run")}` : list(missed);
  return `Never reached the gain: ${named}.`;
}

function spreadText(value: Spread | undefined, format: (v: number) => string): Html | string {
  if (!value) return missing;
  if (value.low === value.high) return format(value.median);
  return html`${format(value.median)}<br><small>${format(value.low)} to ${format(value.high)}</small>`;
}

function groupTable(groups: readonly MethodGroup[]): Html {
  return table<MethodGroup>({
    caption: "Methods at the matched gain: median and range of the runs",
    showCaption: true,
    rowClass: (g) => (g.kind === "key" ? "highlight" : undefined),
    columns: [
      { head: "Method", cell: (g) => g.title, rowHead: true },
      { head: "Replay", cell: (g) => (g.replay ? "yes" : "no") },
      { head: "Trained", cell: (g) => spreadText(g.trainedParameters, magnitude), align: "right" },
      { head: "Learning rate", cell: (g) => spreadText(g.lr, plain), align: "right" },
      { head: "Reached", cell: (g) => `${g.reached} of ${g.methods.length}`, align: "right" },
      { head: "Updates", cell: (g) => spreadText(g.updates, plain), align: "right" },
      { head: "Gain (points)", cell: (g) => spreadText(g.gain, signed), align: "right" },
      {
        head: "Collateral (points)",
        cell: (g) => spreadText(g.collateral, signed),
        align: "right",
      },
    ],
    rows: groups,
  });
}

function classTable(comparison: TuningComparison, groups: readonly MethodGroup[]): Html {
  const change = (group: MethodGroup, name: string, before: number) =>
    spread(
      group.methods.map(
        (m) => (m.after.find((c) => c.name === name)?.accuracy ?? Number.NaN) - before,
      ),
    );
  const columns: Column<TuningComparison["before"][number]>[] = [
    { head: "Class", cell: (c) => c.title, rowHead: true },
    ...groups.map((group) => ({
      head: `${group.title}${group.replay ? ", replay" : ""}`,
      cell: (c: TuningComparison["before"][number]) =>
        spreadText(change(group, c.name, c.accuracy), points),
      align: "right" as const,
    })),
  ];
  return table({
    caption: "Change of every class by method, in points",
    columns,
    rows: comparison.before,
  });
}

function runTable(methods: readonly TunedMethod[]): Html {
  return table<TunedMethod>({
    caption: "All runs",
    columns: [
      { head: "Method", cell: (m) => m.title, rowHead: true },
      { head: "Trains", cell: trains },
      { head: "Replay", cell: (m) => (m.replay ? "yes" : "no") },
      { head: "Seed", cell: (m) => digits(m.seed), align: "right" },
      { head: "Learning rate", cell: (m) => plain(m.lr), align: "right" },
      {
        head: "Updates",
        cell: (m) => (isNumber(m.updates) ? count(m.updates) : "never"),
        align: "right",
      },
      { head: "Gain", cell: (m) => signed(m.gain), align: "right" },
      { head: "Collateral", cell: (m) => signed(m.collateral), align: "right" },
    ],
    rows: methods,
  });
}

function trains(m: TunedMethod): string {
  const mlps = m.mlps.map((layer) => `MLP ${digits(layer)}`);
  const shown = [...m.heads, ...mlps];
  if (shown.length > 12) return `${shown.slice(0, 12).join(", ")}, … (${shown.length})`;
  return shown.join(", ") || (m.kind === "full" ? "everything" : missing);
}
