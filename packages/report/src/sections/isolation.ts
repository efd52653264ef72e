/** Proof that only the selected weights changed: counts, one hash over the rest, and one a tensor. */
import { disclosure } from "../charts/figure.ts";
import { table } from "../charts/table.ts";
import { type Html, html } from "../html.ts";
import type { IsolationReport, TensorIsolation } from "../results.ts";
import { count, isNumber, list, missing, plural } from "../text/numbers.ts";

/** Digits of a hash that are shown; all of them are in the tooltip. */
const shownDigits = 16;
const shownSlices = 6;

export function isolation(report: IsolationReport): Html | null {
  if (!isNumber(report.unselectedChanged)) return null;
  const { unselectedChanged: changed, unselectedHash: whole, tensors = [] } = report;
  const intact = changed === 0;
  return html`<p>${intact ? html`<span class="badge supported">Isolated</span>` : html`<span class="badge not-supported">Not isolated</span>`}
${count(report.checked)} weight slices were hashed before and after: ${
    intact
      ? "every one that was not selected is bit-identical"
      : html`<strong>${plural(changed, "slice")} that ${changed === 1 ? "was" : "were"} not selected changed</strong>`
  }; ${plural(report.changedTensors.length, "tensor")} changed in part or in whole.</p>
${
  tensors.length > 0
    ? disclosure(
        "Hashes of everything that was not trained, with the key heads",
        html`${whole ? html`<p>All of it together: ${hash(whole.before)} before, ${hash(whole.after)} after.</p>` : null}
${tensorTable(tensors)}
<p class="note">One SHA-256 over the hashes of a tensor’s slices that were not selected. Every slice by
itself, before and after, is in keyheads.json of the saved model.</p>`,
      )
    : null
}`;
}

function tensorTable(tensors: readonly TensorIsolation[]): Html {
  return table<TensorIsolation>({
    caption: "Hashes of what was not trained, tensor by tensor",
    columns: [
      { head: "Tensor", cell: (t) => html`<code>${t.tensor}</code>`, rowHead: true },
      { head: "Slices not trained", cell: (t) => count(t.unselected), align: "right" },
      { head: "Before", cell: (t) => hash(t.before) },
      { head: "After", cell: (t) => hash(t.after) },
      { head: "Same", cell: same },
      { head: "Trained slices", cell: (t) => trained(t.trained) },
    ],
    rows: tensors,
  });
}

function hash(value: string | null | undefined): Html | string {
  if (!value) return missing;
  return html`<code title="${value}">${value.slice(0, shownDigits)}</code>`;
}

function same({ before, after }: TensorIsolation): Html | string {
  if (!before) return missing;
  return before === after ? "yes" : html`<strong>no</strong>`;
}

function trained(names: readonly string[]): string {
  if (names.length <= shownSlices) return list(names) || missing;
  return `${names.slice(0, shownSlices).join(", ")}, … (${count(names.length)})`;
}
