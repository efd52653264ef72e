/** Where the key heads look. */
import { attentionChart } from "../charts/attention.ts";
import { figure } from "../charts/figure.ts";
import { type Column, table } from "../charts/table.ts";
import { type Palette, pick, roleTitle } from "../colors.ts";
import { type Html, html } from "../html.ts";
import type { AttendResult, Experiment } from "../results.ts";
import { count, percent, percentRange } from "../text/numbers.ts";
import type { Part } from "./part.ts";

type HeadAttention = AttendResult["heads"][number];

export function attentionPart(
  experiment: Experiment,
  prefix: string,
  palette: Palette,
): Part | null {
  const { attention } = experiment;
  if (!attention || attention.heads.length === 0) return null;
  const roles = [...new Set(attention.heads.flatMap((h) => Object.keys(h.roles)))];
  const body = html`<p>The attention of the last token in each key head, split by the role of the token it
goes to, with 95 % intervals. The line under the head's name is its type, given by the written
thresholds of the method.</p>
${figure({
  chart: attentionChart(attention, pick(palette, roles)),
  caption: `Mean over ${count(attention.items.used)} items.`,
  table: roleTable(attention, roles),
})}`;
  return { id: `${prefix}-attention`, title: "Where the heads look", body };
}

function roleTable(attention: AttendResult, roles: readonly string[]): Html {
  const columns: Column<HeadAttention>[] = [
    { head: "Head", cell: (h) => h.head, rowHead: true },
    { head: "Type", cell: (h) => roleTitle(h.type) },
    ...roles.map((role) => ({
      head: roleTitle(role),
      cell: (h: HeadAttention) => roleCell(h, role),
    })),
  ];
  return html`${table({ caption: "Attention by role", columns, rows: attention.heads })}
<p class="note">Each cell: attention with its interval; then what a head of the same layer gives these
positions on average; then the attention weighted by the size of what it moves (value times W_O).</p>`;
}

function roleCell(h: HeadAttention, role: string): Html {
  const value = h.roles[role];
  return html`<strong>${percent(value?.mean)}</strong> <small>${percentRange(value?.low, value?.high)}</small><br>
<small>layer ${percent(h.positional?.[role])}, weighted ${percent(h.valueWeighted?.[role])}</small>`;
}
