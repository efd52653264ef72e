/** How the answer forms from layer to layer: logit lens, direct logit attribution, MLP cosines. */
import { type ByLayer, byLayer } from "../charts/by-layer.ts";
import { disclosure, figure } from "../charts/figure.ts";
import { table } from "../charts/table.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, LensCosines, LensLayer, LensResult } from "../results.ts";
import { isNumber, list, type Maybe, number, percent, plain } from "../text/numbers.ts";
import { visible } from "../text/tokens.ts";
import type { Part } from "./part.ts";

export function lensPart(experiment: Experiment, prefix: string): Part | null {
  const { lens } = experiment;
  if (!lens || lens.layers.length === 0) return null;
  const body = html`<p>The residual stream of the last token after every layer, read through the final norm
and the unembedding as if the model stopped there.${phaseText(lens)}</p>
<div class="row-of-charts">
${streamCharts(lens).map((chart) => figure({ title: chart.title, chart: byLayer(chart) }))}
</div>
<p>The cosines compare what goes into an MLP, what comes out, and the difference, with the unembedding
rows of the answer and the operands, centred; the dashed line is the same with random other rows.</p>
<div class="row-of-charts">
${cosineCharts(lens).map((chart) => figure({ title: chart.title, chart: byLayer(chart) }))}
</div>
${disclosure("Show the numbers and the top tokens of every layer", lensTable(lens))}`;
  return { id: `${prefix}-lens`, title: "How the answer forms", body };
}

function phaseText(lens: LensResult): string {
  const { start, inflection, end } = lens.mlpPhases ?? {};
  const named = [
    isNumber(start) && `start at layer ${start}`,
    isNumber(inflection) && `turn at layer ${inflection}`,
    isNumber(end) && `are done at layer ${end}`,
  ].filter((text) => text !== false);
  return named.length > 0 ? ` By the cosines, the MLPs ${list(named)}.` : "";
}

const rankTicks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5];

function streamCharts({ layers }: LensResult): ByLayer[] {
  const last = layers.at(-1);
  const answer = "var(--c-key)";
  const worst = Math.max(1, ...layers.map((l) => l.answerRank).filter(isNumber));
  const lowest = worst > 5 ? Math.max(10, worst) : 5;
  return [
    {
      title: "Probability of the answer",
      description: `Reaches ${percent(last?.answerProb)} after the last layer.`,
      kind: "lines",
      axis: "mean probability",
      format: (v) => percent(v, 0),
      include: [0, 1],
      series: [{ label: "answer", color: answer, values: layers.map((l) => l.answerProb) }],
    },
    {
      title: "Rank of the answer",
      description: `Mean rank ${number(last?.answerRank)} after the last layer; 1 is the top.`,
      kind: "lines",
      axis: "mean rank (1 is the top)",
      format: (v) => plain(v),
      scale: "log",
      reverse: true,
      include: [1, lowest],
      ticks: rankTicks.filter((t) => t <= lowest),
      series: [{ label: "answer", color: answer, values: layers.map((l) => l.answerRank) }],
    },
    {
      title: "Direct logit attribution",
      description: "What the attention and the MLP of every layer add to the logit of the answer.",
      kind: "bars",
      axis: "logits added to the answer",
      format: (v) => plain(v, 2),
      include: [0],
      series: [
        { label: "attention", color: "var(--helps)", values: layers.map((l) => l.attnLogit) },
        { label: "MLP", color: "var(--mlp)", values: layers.map((l) => l.mlpLogit) },
      ],
    },
  ];
}

function cosineCharts(lens: LensResult): ByLayer[] {
  const parts: readonly (readonly [string, keyof LensLayer & ("mlpIn" | "mlpOut" | "mlpDelta")])[] =
    [
      ["MLP input", "mlpIn"],
      ["After the MLP", "mlpOut"],
      ["What the MLP adds", "mlpDelta"],
    ];
  const all = parts.flatMap(([, part]) => lens.layers.flatMap((l) => cosineValues(l[part])));
  // One axis for the three, so that they can be compared by eye.
  const include = [Math.min(0, ...all), Math.max(0.1, ...all)];
  const { start, inflection, end } = lens.mlpPhases ?? {};
  const marks = phaseMarks([
    [start, "start"],
    [inflection, "turn"],
    [end, "end"],
  ]);
  return parts.map(([title, part]) => {
    const series = (label: string, color: string, key: keyof LensCosines, dashed = false) => ({
      label,
      color,
      dashed,
      values: lens.layers.map((l) => l[part]?.[key]),
    });
    const lines = [
      series("answer C", "var(--c-key)", "C"),
      series("operand A", "var(--c-a)", "A"),
      series("operand B", "var(--c-b)", "B"),
      series("random rows", "var(--c-random)", "baseline", true),
    ].filter((line) => line.values.some(isNumber));
    return {
      title,
      description: `Centred cosines of ${title.toLowerCase()} with unembedding rows, by layer.`,
      kind: "lines" as const,
      axis: "cosine",
      format: (v: number) => plain(v, 2),
      include,
      series: lines,
      marks: part === "mlpDelta" ? marks : [],
    };
  });
}

/** Phases of one layer share a mark, or their names would be written over each other. */
function phaseMarks(phases: readonly (readonly [Maybe, string])[]): NonNullable<ByLayer["marks"]> {
  const byLayer = new Map<number, string[]>();
  for (const [layer, name] of phases) {
    if (isNumber(layer)) byLayer.set(layer, [...(byLayer.get(layer) ?? []), name]);
  }
  return [...byLayer].map(([layer, names]) => ({ layer, label: names.join(", ") }));
}

function cosineValues(cosines: LensCosines | undefined): number[] {
  return [cosines?.A, cosines?.B, cosines?.C, cosines?.baseline].filter(isNumber);
}

function lensTable(lens: LensResult): Html {
  return table<LensLayer>({
    caption: "Logit lens by layer",
    columns: [
      { head: "Layer", cell: (l) => String(l.layer), rowHead: true },
      { head: "Rank", cell: (l) => number(l.answerRank), align: "right" },
      { head: "Probability", cell: (l) => percent(l.answerProb), align: "right" },
      { head: "Attention", cell: (l) => number(l.attnLogit), align: "right" },
      { head: "MLP", cell: (l) => number(l.mlpLogit), align: "right" },
      {
        head: "Most often on top",
        cell: (l) =>
          (l.topTokens ?? []).map(
            ({ token, share }) =>
              html`<span class="top-token"><code>${visible(token)}</code> ${percent(share, 0)}</span> `,
          ),
      },
    ],
    rows: lens.layers,
  });
}
