/** Whose heads are whose: overlap of key heads between tasks, and each task without the others' heads. */
import { scrollBox } from "../charts/figure.ts";
import { type Content, type Html, html } from "../html.ts";
import type { RunResult } from "../results.ts";
import type { TransferResult } from "../results-validation.ts";
import { list, number, percent } from "../text/numbers.ts";
import type { Part } from "./part.ts";

interface Cell {
  readonly text: Content;
  /** 0 to 1: how strongly the cell is coloured. */
  readonly weight: number;
  readonly note: Content;
}

export function transferSection({ transfer }: RunResult): Part | null {
  if (!transfer) return null;
  const { sets, jaccard, chance, rank, accuracy, random } = transfer;
  const at = (all: readonly (readonly number[])[], from: number, on: number) =>
    all[from]?.[on] ?? Number.NaN;
  const split =
    transfer.split === "none"
      ? "on the same items"
      : "on items that share no cluster with those they were found on";
  const body = html`<p>Key heads were found for every task and removed, one task's heads at a time, from every task,
${split}. Rows say where heads come from, columns what was asked.</p>
<dl class="definitions">${sets.map(
    ({ name, keyHeads, baseline }) =>
      html`<div><dt>${name}</dt><dd>${list(keyHeads) || "no key heads"}; ${percent(baseline)} right with nothing removed</dd></div>`,
  )}</dl>
${matrix(transfer, "Accuracy without these heads", (from, on) => {
  const value = at(accuracy, from, on);
  const base = sets[on]?.baseline ?? Number.NaN;
  const band = random[from]?.[on];
  return {
    text: percent(value),
    weight: base > 0 ? Math.max(0, (base - value) / base) : 0,
    note: band ? `random heads ${percent(band.low)} to ${percent(band.high)}` : "no random sets",
  };
})}
${matrix(transfer, "Key heads in common (Jaccard index)", (from, on) => ({
  text: number(at(jaccard, from, on)),
  weight: at(jaccard, from, on),
  note: `by chance ${number(at(chance, from, on))}`,
}))}
${matrix(transfer, "Agreement of all heads' rankings (rank-biased overlap)", (from, on) => ({
  text: number(at(rank, from, on)),
  weight: at(rank, from, on),
  note: null,
}))}`;
  return { id: "transfer", title: "Whose heads are whose?", body };
}

function matrix(
  { sets }: TransferResult,
  caption: string,
  cell: (from: number, on: number) => Cell,
): Html {
  const rows = sets.map(
    ({ name }, from) =>
      html`<tr><th scope="row">${name}</th>${sets.map((_, on) => {
        const { text, weight, note } = cell(from, on);
        const share = Math.round(100 * Math.min(1, Math.max(0, weight || 0)));
        return html`<td class="num shaded" style="--w: ${share}%">${text}${note ? html`<small>${note}</small>` : null}</td>`;
      })}</tr>`,
  );
  return scrollBox(
    caption,
    html`<table class="matrix"><caption>${caption}</caption>
<thead><tr><td></td>${sets.map(({ name }) => html`<th scope="col" class="num">${name}</th>`)}</tr></thead>
<tbody>${rows}</tbody></table>`,
  );
}
