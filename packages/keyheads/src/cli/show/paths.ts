import type { ByPosition } from "../../attribution/paths/by-position.ts";
import type { PatchedUnits } from "../../attribution/paths/patch-units.ts";
import type { SideBySide } from "../../attribution/paths/side-by-side.ts";
import type { TracedCircuit } from "../../attribution/paths/trace.ts";
import { decimal, fields, interval, percent, table } from "../table.ts";

const shown = 15;

function summary(result: Omit<PatchedUnits, "units">): string {
  const { items, effect, reference, counterfactual, totalEffect } = result;
  return fields([
    ["items", `${items.used} used, ${items.dropped.length} dropped`],
    ["effect", effect],
    ["prompt, counterfactual", `${decimal(reference)}, ${decimal(counterfactual)}`],
    ["total effect", decimal(totalEffect)],
  ]);
}

/** The units with the largest effects. */
export function unitsText(result: PatchedUnits): string {
  const rows = [...result.units]
    .filter(({ effect }) => Number.isFinite(effect))
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, shown)
    .map(({ name, effect, low, high, share }) => [
      name,
      decimal(effect),
      interval([low, high]),
      percent(share),
    ]);
  return `${summary(result)}\n${table(["unit", "effect", "95 % interval", "share"], rows)}`;
}

/** Where the strongest heads and MLPs act. */
export function byPositionText(result: ByPosition): string {
  const { offsets, itemsAt, heads, mlps } = result;
  const all = [
    ...heads.flatMap((row, layer) =>
      row.map((effects, head) => ({ name: `${layer}.${head}`, effects })),
    ),
    ...mlps.map((effects, layer) => ({ name: `mlp ${layer}`, effects })),
  ].filter(({ effects }) => effects.some(Number.isFinite));
  const most = (effects: readonly number[]) =>
    Math.max(...effects.filter(Number.isFinite).map(Math.abs));
  const rows = all
    .sort((a, b) => most(b.effects) - most(a.effects))
    .slice(0, shown)
    .map(({ name, effects }) => [name, ...effects.map((effect) => decimal(effect, 2))]);
  return [
    summary(result),
    "\n",
    table(
      ["", ...offsets.map((offset) => (offset === 0 ? "END" : String(offset)))],
      [["items", ...itemsAt.map(String)], ...rows],
    ),
  ].join("");
}

/** Direct and total effects of the heads with the largest of any. */
export function sideBySideText({ direct, totalEnd, totalAll, why }: SideBySide): string {
  const of = (result: typeof direct | undefined, layer: number, head: number) =>
    result?.heads[layer]?.[head] ?? Number.NaN;
  const rows = direct.heads
    .flatMap((row, layer) =>
      row.map((effect, head) => ({
        name: `${layer}.${head}`,
        effects: [effect, of(totalEnd, layer, head), of(totalAll, layer, head)],
      })),
    )
    .map((one) => ({ ...one, most: Math.max(...one.effects.map((x) => Math.abs(x) || 0)) }))
    .sort((a, b) => b.most - a.most)
    .slice(0, shown)
    .map(({ name, effects }) => [name, ...effects.map((effect) => decimal(effect))]);
  return [
    table(["head", "direct", "total at END", "total everywhere"], rows),
    ...(why ? [`no totals at all positions: ${why}\n`] : []),
  ].join("");
}

export function traceText(result: TracedCircuit): string {
  const { nodes, edges, positions } = result;
  const rows = edges.map(({ from, to, input, effect, low, high, share }) => [
    from,
    input === "logits" ? "logits" : `${to} ${input}`,
    decimal(effect),
    interval([low, high]),
    percent(share),
  ]);
  return [
    summary(result),
    fields([
      ["positions", positions],
      ["circuit", `${nodes.length} nodes, ${edges.length} edges`],
    ]),
    "\n",
    table(["from", "into", "effect", "95 % interval", "share"], rows),
  ].join("");
}
