import type { IdentifyResult } from "../../results.ts";
import { decimal, fields, interval, percent, table } from "../table.ts";

const shown = 12;
/** Below this a bootstrap of clusters, or their signs, say little: 2 to the power of 6 sign patterns. */
const fewClusters = 7;

/** The heads and MLPs with the largest effects, as a table. */
export function identifyText(result: IdentifyResult): string {
  const { items, validity } = result;
  const key = new Set(result.keyHeads);
  const keyMlps = new Set(result.keyMlps);
  return [
    fields([
      [
        "items",
        `${items.used} used, ${items.dropped.length} dropped, ${validity.excluded} excluded` +
          (validity.incorrect ? `, ${validity.incorrect} answered wrongly` : ""),
      ],
      ...clusterRow(result),
      ["right on the prompt", percent(validity.referenceAccuracy)],
      [
        "counterfactual still gives it",
        `${percent(validity.counterfactualStillC)}, probability ${decimal(validity.counterfactualProbC)}`,
      ],
      ["effect", `${result.effect}, ${result.method}, positions ${result.positions}`],
      ...(result.receivers ? [["into", result.receivers.join(", ")] as const] : []),
      ["prompt, counterfactual", `${decimal(result.reference)}, ${decimal(result.counterfactual)}`],
      ["total effect", decimal(result.totalEffect)],
    ]),
    "\n",
    table(["head", ...columns(result)], headRows(result, key)),
    "\n",
    table(["mlp", ...columns(result)], mlpRows(result, keyMlps)),
    ...edgeText(result),
    `\nkey heads: ${result.keyHeads.join(",") || "none"}\n`,
    `key MLPs: ${result.keyMlps.join(",") || "none"}\n`,
  ].join("");
}

function clusterRow({ clusterCount: n }: IdentifyResult): [string, string][] {
  if (n === undefined || n >= fewClusters) return [];
  const what = n === 1 ? "1: intervals and p-values mean nothing" : `${n}: intervals are rough`;
  return [["clusters", `${what}; use items of more operand facts or templates`]];
}

function edgeText({ edges, edgeCount }: IdentifyResult): string[] {
  if (!edges || edges.length === 0) return [];
  const rows = edges
    .slice(0, shown)
    .map(({ from, to, effect, ci }) => [from, to, decimal(effect), interval(ci)]);
  return [
    `\nstrongest of ${edgeCount} edges\n`,
    table(["from", "to", "effect", "95 % interval"], rows),
  ];
}

function headRows(result: IdentifyResult, key: ReadonlySet<string>): string[][] {
  return result.heads
    .flatMap((effects, layer) =>
      effects.map((effect, head) => ({
        name: `${layer}.${head}`,
        effect,
        ci: result.headCI[layer]?.[head],
        share: result.headShares[layer]?.[head] ?? Number.NaN,
        p: result.headP?.[layer]?.[head],
      })),
    )
    .filter(({ effect }) => Number.isFinite(effect))
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, shown)
    .map(({ name, effect, ci, share, p }) => row(name, effect, ci, share, key.has(name), p));
}

function mlpRows(result: IdentifyResult, key: ReadonlySet<number>): string[][] {
  return result.mlps
    .map((effect, layer) => ({ layer, effect }))
    .filter(({ effect }) => Number.isFinite(effect))
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, shown)
    .map(({ layer, effect }) => {
      const share = result.mlpShares[layer] ?? Number.NaN;
      const p = result.mlpP?.[layer];
      return row(String(layer), effect, result.mlpCI[layer], share, key.has(layer), p);
    });
}

/** With p where it was tested. */
const columns = ({ headP }: IdentifyResult): string[] => [
  ...["effect", "95 % interval", "share"],
  ...(headP ? ["p"] : []),
  "",
];

function row(
  name: string,
  effect: number,
  ci: readonly [number, number] | undefined,
  share: number,
  isKey: boolean,
  p: number | undefined,
): string[] {
  return [
    ...[name, decimal(effect), ci ? interval(ci) : "", percent(share)],
    ...(p === undefined ? [] : [decimal(p)]),
    isKey ? "key" : "",
  ];
}
