/**
 * A whole run as one HTML file that needs nothing else: styles, charts and the little script are
 * inside. A pure function of the results; everything can be read without the script.
 */
import { rolePalette } from "./colors.ts";
import { type Html, html, raw } from "./html.ts";
import { script } from "./page/script.ts";
import { style } from "./page/style.ts";
import type { RunResult } from "./results.ts";
import { claims } from "./sections/claims.ts";
import { evaluation } from "./sections/evaluation.ts";
import { example } from "./sections/example.ts";
import { experiment } from "./sections/experiment.ts";
import { header } from "./sections/header.ts";
import { method } from "./sections/method.ts";
import { experimentIds, type Part } from "./sections/part.ts";
import { reproducibility } from "./sections/reproducibility.ts";
import { summary } from "./sections/summary.ts";
import { transferSection } from "./sections/transfer.ts";
import { tuning } from "./sections/tuning.ts";

/** The report of a run, as the text of an HTML file. */
export function renderReport(run: RunResult): string {
  const ids = experimentIds(run.experiments);
  const palette = rolePalette(run);
  const parts = [
    summary(run),
    example(run, palette),
    ...run.experiments.map((data, i) => experiment(data, ids[i] ?? "", palette)),
    transferSection(run),
    evaluation(run),
    tuning(run),
    claims(run),
    method(run),
    reproducibility(run),
  ].filter((part) => part !== null);
  const title = `${run.task.title}: ${run.model.name}`;
  return `<!doctype html>\n${page(title, run, parts)}\n`;
}

function page(title: string, run: RunResult, parts: readonly Part[]): Html {
  return html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="keyheads ${run.keyheads}">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${raw(style)}</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the answer</a>
<div class="layout">
<nav class="side" aria-label="Contents">${contents(parts)}</nav>
<main>
${header(run)}
<details class="contents-top"><summary>Contents</summary>${contents(parts)}</details>
${parts.map(section)}
<footer><p>Made by keyheads ${run.keyheads}. This file needs no network.</p></footer>
</main>
</div>
<div class="tip" aria-hidden="true" hidden></div>
<script>${raw(script)}</script>
</body>
</html>`;
}

function contents(parts: readonly Part[]): Html {
  const link = ({ id, title }: Part) => html`<a href="#${id}">${title}</a>`;
  return html`<ol>${parts.map(
    (part) =>
      html`<li>${link(part)}${part.parts ? html`<ol>${part.parts.map((p) => html`<li>${link(p)}</li>`)}</ol>` : null}</li>`,
  )}</ol>`;
}

function section({ id, title, body }: Part): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${body}
</section>
`;
}
