/** One item from prompt to prediction: tokens by role, where the key heads look, what comes out. */
import { legend } from "../charts/figure.ts";
import { type Palette, pick, roleTitle } from "../colors.ts";
import { type Html, html } from "../html.ts";
import type { RunResult, WorkedExample } from "../results.ts";
import { isNumber, percent } from "../text/numbers.ts";
import { visible } from "../text/tokens.ts";
import type { Part } from "./part.ts";

type Token = WorkedExample["tokens"][number];

export function example(run: RunResult, palette: Palette): Part | null {
  const shown = run.example;
  if (!shown) return null;
  const roles = [...new Set(shown.tokens.flatMap((t) => (t.role ? [t.role] : [])))];
  const colors = pick(palette, roles);
  const body = html`<p>${shown.title}</p>
<figure class="example">
${roles.length > 0 ? legend([...colors].map(([role, color]) => ({ label: roleTitle(role), color, mark: "area" }))) : null}
${line(
  "Prompt",
  shown.tokens.map((t) => chip(t, colors)),
  answerChip("answer", shown.answer),
)}
${shown.counterfactual ? line("Counterfactual", counterfactualChips(shown), shown.counterfactualAnswer === undefined ? null : answerChip("answer", shown.counterfactualAnswer)) : null}
<figcaption>${caption(shown)}</figcaption>
</figure>
${attention(shown)}
${predictions(shown)}`;
  return { id: "example", title: "One problem, worked", body };
}

function caption(shown: WorkedExample): string {
  const differs = shown.counterfactual?.some((t, i) => t !== shown.tokens[i]?.text);
  return `Every box is a token, coloured by its role; the model predicts what follows the last one.${
    differs ? " Underlined tokens of the counterfactual differ from the prompt." : ""
  }`;
}

function line(name: string, tokens: readonly Html[], answer: Html | null): Html {
  return html`<div class="token-line"><span class="token-name">${name}</span>
<span class="tokens">${tokens}${answer ? html`<span class="arrow" aria-hidden="true">→</span>${answer}` : null}</span></div>`;
}

function chip(token: Token, colors: Palette): Html {
  const color = token.role === undefined ? undefined : colors.get(token.role);
  return html`<code class="token${color ? " of-role" : ""}"${
    color ? html` style="background:${color}" title="${roleTitle(token.role ?? "")}"` : null
  }>${visible(token.text)}</code>`;
}

function counterfactualChips(shown: WorkedExample): Html[] {
  const same = shown.counterfactual?.length === shown.tokens.length;
  return (shown.counterfactual ?? []).map((text, i) => {
    const changed = same && text !== shown.tokens[i]?.text;
    return html`<code class="token${changed ? " changed" : ""}">${visible(text)}</code>`;
  });
}

function answerChip(label: string, text: string): Html {
  return html`<code class="token answer" title="${label}">${visible(text)}</code>`;
}

/** One line of tokens per head, shaded by the weight that the last token gives each of them. */
function attention(shown: WorkedExample): Html | null {
  if (!shown.attention || shown.attention.length === 0) return null;
  const lines = shown.attention.map(({ head, weights }) => {
    const most = Math.max(1e-9, ...weights.filter(isNumber));
    const tokens = shown.tokens.map((token, i) => {
      const weight = weights[i];
      const strength = isNumber(weight) ? Math.round((Math.max(0, weight) / most) * 100) : 0;
      return html`<span class="weighted"><code class="token" style="--w:${strength}%">${visible(token.text)}</code><small>${percent(weight, 0)}</small></span>`;
    });
    return line(`Head ${head}`, tokens, null);
  });
  return html`<h3>Where the key heads look from the last token</h3>
<figure class="example">${lines}
<figcaption>Attention weights of the last token in this one problem; each head is shaded up to its own strongest.</figcaption></figure>`;
}

function predictions(shown: WorkedExample): Html | null {
  if (shown.predictions.length === 0) return null;
  return html`<h3>What the model predicts</h3>
<div class="predictions">${shown.predictions.map(
    ({ state, top }) => html`<figure>
<p class="figure-title">${state}</p>
<ol class="meter">${top.map(({ token, prob }) => meter(token, prob, token === shown.answer))}</ol>
</figure>`,
  )}</div>
<p class="note"><span aria-hidden="true">✓</span> marks the right answer.</p>`;
}

function meter(token: string, prob: number, right: boolean): Html {
  const width = isNumber(prob) ? Math.min(100, Math.max(0, prob * 100)).toFixed(1) : "0";
  return html`<li${right ? html` class="right"` : null}><code>${visible(token)}</code><span class="bar"><span style="width:${width}%"></span></span><span class="num">${percent(prob)}${
    right ? html` <span class="tick" title="right answer">✓</span>` : null
  }</span></li>`;
}
