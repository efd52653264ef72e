/** Knock-outs: the curve with its random band and control, and all small sets of heads. */
import { figure } from "../charts/figure.ts";
import { knockOutChart } from "../charts/knock-out.ts";
import { subsetChart } from "../charts/subsets.ts";
import { table } from "../charts/table.ts";
import { type Html, html } from "../html.ts";
import type { Experiment, KnockoutPoint, KnockoutResult } from "../results.ts";
import { hasControl, type SizeGroup, sizeGroups } from "../subset-ranks.ts";
import { count, isNumber, missing, percent, percentRange, points } from "../text/numbers.ts";
import { chosenHeads, proof, rankAmongSets, where } from "../text/summarise.ts";
import type { Part } from "./part.ts";

export function knockOutPart(experiment: Experiment, prefix: string): Part | null {
  const { knockout, control } = experiment;
  if (!knockout || knockout.curve.length === 0) return null;
  const body = html`<p>Components are removed one after the other, strongest first. Removed means:
${ablationText(knockout)}, ${where(knockout.positions)}.${control ? ` Control: ${control}.` : ""} ${specific(knockout)}</p>
<p>${proof(experiment)}</p>
${figure({
  chart: knockOutChart(knockout),
  caption: `${count(knockout.items.used)} items. ${bandText(knockout)}`,
  table: curveTable(knockout),
})}`;
  return { id: `${prefix}-knockout`, title: "Removing them", body };
}

function ablationText(knockout: KnockoutResult): string {
  if (knockout.ablation === "zero") return "the output is set to zero";
  if (knockout.ablation === "resample") return "the output is replaced by that of another item";
  if (knockout.ablation === "counterfactual") return "the output is replaced by that on X_c";
  return `the output is replaced by its mean over ${knockout.meanOver}`;
}

/** Fall on the task minus fall on the control, at the end of the curve. */
function specific(knockout: KnockoutResult): string {
  const first = knockout.curve[0];
  const last = knockout.curve.at(-1);
  if (!first || !last || !isNumber(first.control) || !isNumber(last.control)) return "";
  const drop = first.accuracy - last.accuracy - (first.control - last.control);
  return isNumber(drop)
    ? `Specific drop with ${last.k} removed (task minus control): ${points(drop)} points.`
    : "";
}

function bandText(knockout: KnockoutResult): string {
  const draws = knockout.random.map((b) => b.draws).filter(isNumber);
  if (draws.length === 0) return "No random sets were drawn.";
  if (knockout.random.every((b) => b.exhaustive)) {
    return "The band spans 95 % of all sets of the same size.";
  }
  const [least, most] = [Math.min(...draws), Math.max(...draws)];
  const many = least === most ? count(most) : `${count(least)} to ${count(most)}`;
  return `The band spans 95 % of ${many} random sets of each size.`;
}

function curveTable(knockout: KnockoutResult): Html {
  const band = (p: KnockoutPoint) => knockout.random.find((b) => b.k === p.k);
  return table<KnockoutPoint>({
    caption: "Knock-out curve",
    columns: [
      { head: "Removed", cell: (p) => (p.k === 0 ? "none" : String(p.k)), rowHead: true },
      { head: "Added", cell: (p) => p.added ?? "" },
      { head: "Task", cell: (p) => percent(p.accuracy), align: "right" },
      { head: "Control", cell: (p) => percent(p.control), align: "right" },
      { head: "Random mean", cell: (p) => percent(band(p)?.mean), align: "right" },
      { head: "Random control", cell: (p) => percent(band(p)?.controlMean), align: "right" },
      { head: "Random band", cell: (p) => bandRange(band(p)), align: "right" },
    ],
    rows: knockout.curve,
  });
}

function bandRange(band: KnockoutResult["random"][number] | undefined): string {
  return band ? percentRange(band.low, band.high) : missing;
}

export function subsetsPart(experiment: Experiment, prefix: string): Part | null {
  const { subsets } = experiment;
  if (!subsets) return null;
  const groups = sizeGroups(subsets, chosenHeads(experiment));
  if (groups.length === 0) return null;
  const specificDrop = hasControl(subsets);
  const axis = specificDrop
    ? "specific drop (points): task minus control"
    : "fall on the task (points)";
  const largest = groups.at(-1);
  const body = html`<p>Instead of a few random draws: every set of up to ${largest?.size ?? 0} heads, removed
together (${subsets.ablation} ablation). ${
    specificDrop
      ? "The specific drop is the fall on the task minus the fall on the control, so that a set which breaks everything scores nothing."
      : null
  } ${rankAmongSets(experiment)}</p>
${figure({
  chart: subsetChart(groups, axis),
  caption: "Height: number of sets, each row scaled to its own highest bar.",
  table: largest ? bestSets(largest) : undefined,
  tableLabel: largest ? `The ten strongest sets of ${largest.size}` : "",
})}`;
  return { id: `${prefix}-subsets`, title: "Every small set of heads", body };
}

function bestSets(group: SizeGroup): Html {
  return table<SizeGroup["drops"][number]>({
    caption: `Strongest sets of ${group.size} heads`,
    columns: [
      { head: "Heads", cell: (s) => s.heads.join(", "), rowHead: true },
      { head: "Drop (points)", cell: (s) => points(s.drop), align: "right" },
    ],
    rows: group.drops.slice(0, 10),
  });
}
