/** The heat map of direct effects with its bars, and the three effects side by side. */
import { topBars } from "../charts/bars.ts";
import { disclosure, figure, responsive } from "../charts/figure.ts";
import { heatLegend, heatMap, niceDomain } from "../charts/heat-map.ts";
import { type Column, table } from "../charts/table.ts";
import {
  type Component,
  componentValue,
  type EffectView,
  effectTitle,
  effectView,
} from "../effects.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, IdentifyResult } from "../results.ts";
import { count, isNumber, list, missing, number, percent } from "../text/numbers.ts";
import { upstream, writers } from "../text/summarise.ts";
import type { Part } from "./part.ts";

type Matrix = readonly (readonly number[])[];

export function directPart(experiment: Experiment, prefix: string): Part {
  const { direct } = experiment;
  const view = effectView(direct);
  const domain = niceDomain([view]);
  const small = view.heads <= 10;
  const map = (width: number) =>
    heatMap({
      view,
      domain,
      width,
      title: "Direct effect of every head and MLP",
      description: describe(view),
      minCell: 20,
      maxCell: small ? 58 : 44,
      scrolls: !small,
    });
  const body = html`<p>${writers(experiment)}</p>
<p>Each cell replaces the output of one head (or MLP) at the last token by what it
was on the counterfactual prompt. All other heads stay frozen, the MLPs are recomputed, and the
number says ${
    view.unit === "share"
      ? "which share of the total effect moves to the answer, in percent"
      : `by how much the ${effectTitle(direct.effect)} falls; the total effect is too close to zero to give shares`
  }.</p>
${facts(direct)}
<div class="${small ? "pair" : "stack"}">
${figure({
  // A map of many heads keeps its size and scrolls: one drawing serves both widths.
  chart: small ? responsive(map, 400) : map(880),
  scale: heatLegend(view, domain),
  caption:
    view.unit === "share"
      ? "Shares can add up to more than 100 %: what a head writes flows on through the MLPs and counts there again."
      : null,
})}
<div${small ? null : html` class="pair"`}>
${bars(view, "head", small ? 8 : 12)}
${bars(view, "mlp", small ? 4 : 12)}
</div>
</div>
${disclosure("Show the numbers of the top 20", componentTable(view, direct))}`;
  return { id: `${prefix}-direct`, title: "What writes the answer", body };
}

function bars(view: EffectView, kind: Component["kind"], most: number): Html | null {
  if (!view.ranked.some((c) => c.kind === kind)) return null;
  return figure({
    title: kind === "head" ? "Strongest heads, with 95 % intervals" : "Strongest MLPs",
    chart: topBars(view, { kind, most, width: 360 }),
    caption: kind === "head" ? "Full colour: key components." : null,
  });
}

function describe(view: EffectView): string {
  const top = view.ranked.slice(0, 5).map((c) => `${c.name} ${view.format(c.value)}`);
  return `${count(view.layers)} layers by ${count(view.heads)} heads. Strongest: ${list(top) || "none"}.`;
}

function facts(result: IdentifyResult): Html {
  const { validity } = result;
  const metric = effectTitle(result.effect);
  const rows: readonly (readonly [string, string])[] = [
    ["Items", itemsText(result)],
    ["Model is right on", percent(validity?.referenceAccuracy)],
    [`Mean ${metric}`, `${number(result.reference)} → ${number(result.counterfactual)}`],
    ["Total effect", number(result.totalEffect)],
    ["Counterfactual still gives the answer", percent(validity?.counterfactualStillC)],
    ["Its probability there", percent(validity?.counterfactualProbC)],
  ];
  return html`<dl class="inline-facts">${rows.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl>`;
}

/** How many items were used, and why others were not. */
function itemsText({ items, validity, guarded }: IdentifyResult): string {
  const reasons: readonly (readonly [number | undefined, string])[] = [
    [validity?.excluded, "not changed by the counterfactual"],
    [validity?.incorrect, "answered wrongly"],
    [items.dropped.length, "dropped"],
    [guarded, "near zero"],
  ];
  const left = reasons.flatMap(([n, why]) => (isNumber(n) && n > 0 ? [`${count(n)} ${why}`] : []));
  return left.length > 0 ? `${count(items.used)}; left out: ${list(left)}` : count(items.used);
}

function componentTable(view: EffectView, result: IdentifyResult): Html {
  const { relativeLogit, headP, mlpP } = result;
  const pick = (c: Component, heads: Matrix | undefined, mlps: readonly number[] | undefined) =>
    c.kind === "head" ? heads?.[c.layer]?.[c.head] : mlps?.[c.layer];
  const columns: Column<Component>[] = [
    {
      head: "Component",
      cell: (c) => (c.kind === "head" ? `Head ${c.name}` : c.name),
      rowHead: true,
    },
    { head: "Effect", cell: (c) => view.format(c.value), align: "right" },
    { head: "Interval", cell: (c) => intervalText(view, c), align: "right" },
  ];
  if (relativeLogit) {
    columns.push({
      head: "Relative logit",
      cell: (c) => percent(pick(c, relativeLogit.heads, relativeLogit.mlps)),
      align: "right",
    });
  }
  if (headP) {
    const cell = (c: Component) => number(pick(c, headP, mlpP), 2);
    columns.push({ head: "p (family-wise)", cell, align: "right" });
  }
  columns.push({ head: "Key", cell: (c) => (c.key ? "yes" : "") });
  return table({ caption: "Strongest components", columns, rows: view.ranked.slice(0, 20) });
}

function intervalText(view: EffectView, c: Component): string {
  if (!c.interval) return missing;
  return `${view.format(c.interval[0])} to ${view.format(c.interval[1])}`;
}

/** Direct, total at END and total at all positions: null when only the direct effect was measured. */
export function threeEffectsPart(experiment: Experiment, prefix: string): Part | null {
  const { direct, totalEnd, totalAll } = experiment;
  if (!totalEnd && !totalAll) return null;
  const maps: readonly (readonly [string, string, IdentifyResult | undefined])[] = [
    ["Direct", "path patching at the last token: only what goes straight to the answer", direct],
    ["Total, last token", "the same replacement, but everything after it is recomputed", totalEnd],
    ["Total, all positions", "replaced at every token: finds what works upstream too", totalAll],
  ];
  const views = maps.flatMap(([, , r]) => (r ? [effectView(r)] : []));
  const domain = niceDomain(views);
  const above = upstream(experiment);
  const body = html`<p>A direct effect finds the components that <em>write</em> the answer. A component
with a high total and a low direct effect is not unimportant: it works upstream and reaches the
answer through others.${
    above.length > 0
      ? html` Here that holds for <strong>${list(above)}</strong>.`
      : totalAll
        ? " Here no head stands out that way."
        : null
  }</p>
<div class="row-of-maps">${maps.map(([title, note, result]) =>
    result ? smallMap(title, note, effectView(result), domain) : null,
  )}</div>
${views[0] ? heatLegend(views[0], domain) : null}`;
  return { id: `${prefix}-effects`, title: "Direct or upstream", body };
}

/** The same prompt pairs against a counterfactual that is any other prompt. */
export function counterfactualPart(experiment: Experiment, prefix: string): Part | null {
  const { direct, randomCounterfactual } = experiment;
  if (!randomCounterfactual) return null;
  const own = effectView(direct);
  const other = effectView(randomCounterfactual);
  const domain = niceDomain([own, other]);
  const rows = own.ranked.filter((c) => c.kind === "head").slice(0, 6);
  const best = rows[0];
  const value = best && componentValue(other, best);
  const first = other.ranked.find((c) => c.kind === "head");
  const body = html`<p>An effect is only as good as the question that the counterfactual asks. The matched
prompt changes nothing but what the answer hangs on. Another prompt of the set changes everything at
once, and the effect of one step is lost in the rest.${
    best && isNumber(value)
      ? html` Head <strong>${best.name}</strong>: ${own.format(best.value)} with the matched counterfactual, ${other.format(value)} with a random one${
          first && first.name !== best.name
            ? `, where ${first.name} comes first (${other.format(first.value)})`
            : ""
        }.`
      : null
  }</p>
<div class="row-of-maps">
${smallMap("Matched counterfactual", "the question of this experiment", own, domain)}
${smallMap("Random other prompt", "everything differs", other, domain)}
<figure>${table<Component>({
    caption: "Strongest heads under both counterfactuals",
    showCaption: true,
    columns: [
      { head: "Head", cell: (c) => c.name, rowHead: true },
      { head: "Matched", cell: (c) => own.format(c.value), align: "right" },
      { head: "Random", cell: (c) => other.format(componentValue(other, c)), align: "right" },
    ],
    rows,
  })}</figure>
</div>`;
  return { id: `${prefix}-counterfactual`, title: "Why the counterfactual matters", body };
}

function smallMap(title: string, note: string, view: EffectView, domain: number): Html {
  return figure({
    title,
    chart: heatMap({
      view,
      domain,
      width: 300,
      title,
      description: describe(view),
      minCell: 6,
      maxCell: 46,
    }),
    caption: note,
  });
}
