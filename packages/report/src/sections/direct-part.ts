/** The heat map of direct effects, its strongest components with intervals, and the items behind. */
import { topBars } from "../charts/bars.ts";
import { disclosure, figure, responsive } from "../charts/figure.ts";
import { heatLegend, heatMap, niceDomain } from "../charts/heat-map.ts";
import { type Column, table } from "../charts/table.ts";
import {
  type Component,
  componentValue,
  describeView,
  type EffectView,
  effectTitle,
  effectView,
} from "../effects.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, IdentifyResult } from "../results.ts";
import { count, isNumber, list, missing, number, percent } from "../text/numbers.ts";
import { writers } from "../text/summarise.ts";
import type { Part } from "./part.ts";

type Matrix = readonly (readonly number[])[];

export function directPart(experiment: Experiment, prefix: string): Part {
  const { direct } = experiment;
  const view = effectView(direct);
  const onAll = experiment.directOnAll && effectView(experiment.directOnAll);
  const domain = niceDomain([view]);
  const small = view.heads <= 10;
  const map = (width: number) =>
    heatMap({
      view,
      domain,
      width,
      title: "Direct effect of every head and MLP",
      description: describeView(view),
      minCell: 20,
      maxCell: small ? 58 : 44,
      scrolls: !small,
    });
  const body = html`<p>${writers(experiment)}</p>
<p>Each cell replaces the output of one head (or MLP) at the last token by what it
was on the counterfactual prompt. All other heads stay frozen, the MLPs are ${direct.mlpPath === "freeze" ? "frozen too" : "recomputed"}, and the
number says ${
    view.unit === "share"
      ? "which share of the total effect this alone brings about, in percent"
      : `by how much the ${effectTitle(direct.effect)} falls; the total effect is too close to zero to give shares`
  }.</p>
${facts(direct)}
${itemsNote(experiment, view)}
${controlsNote(experiment)}
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
${disclosure("Show the numbers of the top 20", componentTable(view, direct, onAll))}`;
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

function facts(result: IdentifyResult): Html {
  const { validity } = result;
  const metric = effectTitle(result.effect);
  const rows: readonly (readonly [string, string])[] = [
    ["Items", count(result.items.used)],
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

/** Which items are missing, and what the key heads do when the wrongly answered ones come back. */
function itemsNote({ direct, directOnAll }: Experiment, view: EffectView): Html | null {
  const { validity, items, guarded } = direct;
  const reasons: readonly (readonly [number | undefined, string])[] = [
    [validity?.excluded, "not changed by the counterfactual"],
    [validity?.incorrect, "answered wrongly"],
    [items.dropped.length, "dropped"],
    [guarded, "with a metric too near zero"],
  ];
  const left = reasons.flatMap(([n, why]) => (isNumber(n) && n > 0 ? [`${count(n)} ${why}`] : []));
  const text = [
    left.length > 0 ? `Left out: ${list(left)}.` : "",
    directOnAll ? onAllText(view, effectView(directOnAll), directOnAll.items.used) : "",
  ];
  return text.some((t) => t !== "") ? html`<p class="note">${text.join(" ").trim()}</p>` : null;
}

/** Where nothing can be found, was nothing found? */
function controlsNote({ controls }: Experiment): Html | null {
  if (!controls) return null;
  const { self, untrained } = controls;
  const names = ({ keyHeads, keyMlps }: typeof self | typeof untrained) =>
    list([...keyHeads, ...keyMlps.map((layer) => `MLP ${layer}`)]);
  const ofSelf = self.pass
    ? `With every prompt as its own counterfactual the largest effect is ${number(self.largest)}`
    : `With every prompt as its own counterfactual ${names(self)} would be key: the method is at fault`;
  const ofUntrained = untrained.pass
    ? `in the same network with random weights no component is significant (smallest p ${number(untrained.smallestP, 2)})`
    : `in the same network with random weights ${names(untrained)} would be significant, which happens by chance in one of ${count(1 / untrained.alpha)} controls`;
  return html`<p class="note">Negative controls. ${ofSelf}; ${ofUntrained}.</p>`;
}

function onAllText(view: EffectView, onAll: EffectView, items: number | undefined): string {
  const heads = view.ranked.filter((c) => c.kind === "head" && c.key).slice(0, 5);
  // Name and number stay on one line.
  const values = heads.map((c) => `${c.name}\u00a0(${onAll.format(componentValue(onAll, c))})`);
  const of = isNumber(items) ? `all ${count(items)} items` : "all items";
  return `The items used are those that the model answers correctly; on ${of}, right or wrong: ${list(values) || "no key heads"}.`;
}

function componentTable(
  view: EffectView,
  result: IdentifyResult,
  onAll: EffectView | undefined,
): Html {
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
  if (onAll) {
    const cell = (c: Component) => onAll.format(componentValue(onAll, c));
    columns.push({ head: "On all items", cell, align: "right" });
  }
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
