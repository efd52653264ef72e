/** Title, model and the few facts that identify a run. */
import { type Html, html, join } from "../html.ts";
import type { RunResult } from "../results.ts";
import { count, dateTime, magnitude, plural } from "../text/numbers.ts";

export function header(run: RunResult): Html {
  const { model, task } = run;
  const heads =
    model.kvHeads === model.heads
      ? plural(model.heads, "head")
      : `${plural(model.heads, "head")} (${count(model.kvHeads)} key/value)`;
  const facts = [
    html`<strong>${model.name}</strong>`,
    model.architecture,
    `${plural(model.layers, "layer")} × ${heads}`,
    `${magnitude(model.parameters)} parameters`,
    `${run.device}, ${run.dtype}`,
    dateTime(run.created),
  ];
  const origin = join([model.origin, model.licence && `licence ${model.licence}`], " · ");
  return html`<header class="page-head">
<p class="overline">keyheads report</p>
<h1>${task.title}</h1>
<p class="lead">${task.summary}</p>
<ul class="facts">${facts.map((fact) => html`<li>${fact}</li>`)}</ul>
${origin.text ? html`<p class="origin">${origin}</p>` : null}
<p class="prompt-form"><span>Prompt</span> <code>${task.promptForm}</code></p>
</header>`;
}
