/** What feeds the key heads: one map an input, of paths that end there instead of in the logits. */
import { disclosure, figure } from "../charts/figure.ts";
import { heatLegend, heatMap, niceDomain } from "../charts/heat-map.ts";
import { type Column, table } from "../charts/table.ts";
import { type Component, describeView, type EffectView, effectView } from "../effects.ts";
import { html } from "../html.ts";
import type { Experiment } from "../results.ts";
import { isNumber, list, type Maybe, missing } from "../text/numbers.ts";
import type { Part } from "./part.ts";

interface Fed {
  /** "Head 2.2, queries" */
  readonly title: string;
  readonly note: string;
  readonly view: EffectView;
}

const inputs: Readonly<Record<string, string>> = { q: "queries", k: "keys", v: "values" };
/** What is worth a name: of the total effect. */
const leastShare = 0.02;

export function pathsPart({ paths }: Experiment, prefix: string): Part | null {
  const fed = (paths ?? []).flatMap((result): Fed[] => {
    const view = reached(effectView(result));
    const title = (result.receivers ?? []).map(receiverTitle).join(", ");
    const where = result.positions === "end" ? "at the last token" : "at every token";
    return title === "" || view.ranked.length === 0 ? [] : [{ title, note: where, view }];
  });
  if (fed.length === 0) return null;
  const domain = niceDomain(fed.map(({ view }) => view));
  const body = html`<p>The direct effects say which heads write the answer. These maps say what <em>they</em>
read: a head or MLP is replaced by what it was on the counterfactual prompt, but only one input of a key
head hears of it. Everything after that head is recomputed, everything between is frozen${
    fed.some(({ view }) => view.unit === "share")
      ? ", and the number is the share of the total effect that comes about this way"
      : ""
  }. Only earlier layers can reach an input.</p>
<div class="row-of-maps">${fed.map(({ title, note, view }) =>
    figure({
      title,
      chart: heatMap({
        ...{ view, domain, title, width: 300, minCell: 6, maxCell: 46 },
        description: describeView(view),
      }),
      caption: `${note}; ${strongestText(view)}`,
    }),
  )}</div>
${fed[0] ? heatLegend(fed[0].view, domain) : null}
${strongestTable(fed)}`;
  return { id: `${prefix}-paths`, title: "What feeds the key heads", body };
}

function receiverTitle(name: string): string {
  const [kind = "", place = ""] = name.split(":");
  if (kind in inputs) return `Head ${place}, ${inputs[kind]}`;
  return kind === "mlp" ? `MLP ${place}` : `Residual stream entering layer ${place}`;
}

/** What comes after the input cannot change it: its exact zeros are no measurements. */
function reached(view: EffectView): EffectView {
  const known = (value: Maybe) => (value === 0 ? undefined : value);
  return {
    ...view,
    headValues: view.headValues.map((row) => row.map(known)),
    mlpValues: view.mlpValues.map(known),
    ranked: view.ranked.filter(({ value }) => value !== 0),
  };
}

const senderName = ({ kind, name }: Component) => (kind === "head" ? `head ${name}` : name);

function strong({ ranked, unit }: EffectView) {
  const least = unit === "share" ? leastShare : 0.05 * Math.abs(ranked[0]?.value ?? 0);
  return ranked.filter(({ value }) => Math.abs(value) >= least);
}

function strongestText(view: EffectView): string {
  const names = strong(view).slice(0, 3);
  if (names.length === 0) return "nothing stands out";
  return `most by ${list(names.map((one) => `${senderName(one)} (${view.format(one.value)})`))}`;
}

/** One row an input: its strongest senders with intervals. */
function strongestTable(fed: readonly Fed[]) {
  const sender = (n: number): Column<Fed> => ({
    head: ["Strongest", "Second", "Third"][n] as string,
    cell: ({ view }) => {
      const one = view.ranked[n];
      if (!one) return missing;
      const [low, high] = one.interval ?? [];
      const interval = isNumber(low) ? ` (${view.format(low)} to ${view.format(high)})` : "";
      return `${senderName(one)}: ${view.format(one.value)}${interval}`;
    },
  });
  const columns: Column<Fed>[] = [
    { head: "Input", cell: ({ title }) => title, rowHead: true },
    ...[0, 1, 2].map(sender),
  ];
  const caption = "The strongest senders into every input";
  return disclosure(
    "Show the strongest with their intervals",
    table<Fed>({ caption, columns, rows: fed, cards: true }),
  );
}
