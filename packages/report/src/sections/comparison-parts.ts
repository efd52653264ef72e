/** The same heads asked differently: three effects side by side, and another counterfactual. */
import { figure } from "../charts/figure.ts";
import { heatLegend, heatMap, niceDomain } from "../charts/heat-map.ts";
import { table } from "../charts/table.ts";
import {
  type Component,
  componentValue,
  describeView,
  type EffectView,
  effectView,
} from "../effects.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, IdentifyResult } from "../results.ts";
import { isNumber, list } from "../text/numbers.ts";
import { upstream } from "../text/summarise.ts";
import type { Part } from "./part.ts";

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
      description: describeView(view),
      minCell: 6,
      maxCell: 46,
    }),
    caption: note,
  });
}
