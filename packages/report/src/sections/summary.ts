/** "In short": four figures, then one paragraph per experiment and one about tuning. */
import { effectView } from "../effects.ts";
import { type Html, html } from "../html.ts";
import type { ClassAccuracy, RunResult } from "../results.ts";
import { isNumber, list, magnitude, percent, points, share } from "../text/numbers.ts";
import { type Answer, answers, proofOf } from "../text/summarise.ts";
import { experimentIds, type Part } from "./part.ts";

interface Tile {
  readonly label: string;
  readonly value: string;
  readonly note: string;
}

export interface ClassChange {
  readonly title: string;
  readonly name: string;
  readonly n: number;
  readonly before: ClassAccuracy;
  readonly after: ClassAccuracy;
  readonly change: number;
}

/** Classes measured both before and after, in the order of the file. */
export function changes(run: RunResult): ClassChange[] {
  const { before = [], after = [] } = run.evaluation ?? {};
  return before.flatMap((b) => {
    const a = after.find((c) => c.name === b.name);
    if (!a || !isNumber(a.accuracy) || !isNumber(b.accuracy)) return [];
    const change = a.accuracy - b.accuracy;
    return [{ title: b.title, name: b.name, n: b.n, before: b, after: a, change }];
  });
}

/** The class that tuning aimed at, else the one that gained most. */
export function targetChange(run: RunResult): ClassChange | undefined {
  const all = changes(run);
  const target = run.tuning?.target;
  return (
    all.find((c) => c.name === target || c.title === target) ??
    [...all].sort((a, b) => b.change - a.change)[0]
  );
}

/** For readers who know no more than that a language model predicts the next token. */
const primer = html`<p>A language model is layers of attention heads, which carry information from earlier
tokens to the last one, and of MLPs, which work on each token by itself. This page says which of them a
task needs, how that was checked, and what training only those does. Head 2.1 is head 1 of layer 2, both
counted from zero.</p>`;

export function summary(run: RunResult): Part {
  const ids = experimentIds(run.experiments);
  const body = html`${primer}
${tiles(run)}
<div class="answers">
${run.experiments.map((experiment, i) => answerList(experiment.title, ids[i] ?? "", answers(experiment)))}
${run.experiments.length === 0 ? html`<p>This run holds no experiment.</p>` : null}
${tuningAnswers(run)}
</div>
${run.task.notes.map((note) => html`<p class="note">${note}</p>`)}`;
  return { id: "summary", title: "In short", body };
}

function answerList(title: string, id: string, all: readonly Answer[]): Html {
  return html`<h3><a href="#${id}">${title}</a></h3>
<dl>${all.map(({ label, text }) => html`<div><dt>${label}</dt><dd>${text}</dd></div>`)}</dl>`;
}

function tiles(run: RunResult): Html | null {
  const made = [strongestTile(run), knockOutTile(run), tunedTile(run), trainedTile(run)];
  const shown = made.filter((tile) => tile !== undefined);
  if (shown.length === 0) return null;
  return html`<dl class="tiles">${shown.map(
    ({ label, value, note }) =>
      html`<div><dt>${label}</dt><dd><span class="figure-number">${value}</span><span class="tile-note">${note}</span></dd></div>`,
  )}</dl>`;
}

function strongestTile(run: RunResult): Tile | undefined {
  const first = run.experiments[0];
  const view = first && effectView(first.direct);
  const best = view?.ranked.find((c) => c.kind === "head");
  if (!best || !view) return undefined;
  const what =
    view.unit === "share" ? `${share(best.value)} of the effect` : view.format(best.value);
  return { label: "Strongest head", value: best.name, note: `${what}, layer.head from 0` };
}

function knockOutTile(run: RunResult): Tile | undefined {
  const first = run.experiments[0];
  const found = first && proofOf(first);
  if (!found) return undefined;
  return {
    label: "Knock-out",
    value: percent(found.point.accuracy),
    note: `accuracy with ${found.removed.length > 0 && found.removed.length <= 4 ? list(found.removed) : `the top ${found.point.k}`} removed, ${percent(found.start.accuracy)} before`,
  };
}

function tunedTile(run: RunResult): Tile | undefined {
  const target = targetChange(run);
  if (!target) return undefined;
  return {
    label: "After tuning",
    value: percent(target.after.accuracy),
    note: `${target.title}, ${percent(target.before.accuracy)} before`,
  };
}

function trainedTile(run: RunResult): Tile | undefined {
  const key = run.tuning?.methods.find((m) => m.kind === "key");
  if (!key || !isNumber(key.trainedParameters)) return undefined;
  const part = run.model.parameters > 0 ? key.trainedParameters / run.model.parameters : undefined;
  return {
    label: "Trained",
    value: isNumber(part) ? percent(part, part < 0.0995 ? 1 : 0) : magnitude(key.trainedParameters),
    note: `of the parameters: ${magnitude(key.trainedParameters)}`,
  };
}

function tuningAnswers(run: RunResult): Html | null {
  const target = targetChange(run);
  if (!target) return null;
  const isolation = run.tuning?.isolation;
  const all: Answer[] = [
    {
      label: "Gain",
      text: html`${target.title}: ${percent(target.before.accuracy)} before, <strong>${percent(target.after.accuracy)}</strong> after (${points(target.change)} points).`,
    },
  ];
  const cost = costElsewhere(changes(run).filter((c) => c.name !== target.name));
  if (cost) all.push({ label: "Cost elsewhere", text: cost });
  if (isolation && isolation.unselectedChanged === 0) {
    all.push({
      label: "Isolation",
      text: "Every parameter that was not selected is bit-identical afterwards.",
    });
  }
  if (run.tuning) {
    const { supported, text } = run.tuning.verdict;
    all.push({
      label: "Worth choosing?",
      text: html`<strong>${supported ? "Supported" : "Not supported"}</strong> on this model. ${text}`,
    });
  }
  return answerList("Tuning", "evaluation", all);
}

function costElsewhere(rest: readonly ClassChange[]): string | null {
  const worst = [...rest].sort((a, b) => a.change - b.change)[0];
  if (!worst) return null;
  if (worst.change >= 0) return "No other class lost accuracy.";
  return `The largest loss is ${points(worst.change)} points (${worst.title}).`;
}
