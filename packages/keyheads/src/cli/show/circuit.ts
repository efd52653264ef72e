import type { CircuitResult } from "../../results.ts";
import { decimal, fields, interval, percent, table } from "../table.ts";

/** Metrics of circuit and model, then what each part is worth beside random heads. */
export function circuitText(result: CircuitResult): string {
  const { items, components, of, metric, ablation, mlpsOutside, faithfulness } = result;
  const { completeness, minimality, sizes } = result;
  const { mean, low, high } = faithfulness;
  const ofEdges = result.level === "edges";
  const parts = ofEdges
    ? `${components.length} of ${of} edges`
    : `${components.length} of ${of} components, MLPs outside ${mlpsOutside}`;
  const [signed, absolute] = sizes ?? [];
  return [
    `${items.used} items; ${parts}; ${ablation} ablation\n\n`,
    fields([
      [`${metric} of the model`, decimal(result.full)],
      ["of the circuit alone", decimal(result.circuit)],
      ["of nothing", decimal(result.empty)],
      ["faithfulness", `${decimal(mean)} ${interval([low, high])}`],
      ...(completeness ? [["incompleteness, largest", percent(completeness.share)] as const] : []),
      ...(completeness ? [["  there removed", list(completeness.worst.removed)] as const] : []),
      ...(result.cpr === undefined ? [] : [["CPR (signed ranking)", decimal(result.cpr)] as const]),
      ...(result.cmd === undefined ? [] : [["CMD (by magnitude)", decimal(result.cmd)] as const]),
    ]),
    minimality
      ? `\nlargest effect of each part; of random ${ofEdges ? "edges" : "heads"} 95 % are below ${decimal(minimality.random.high)}\n`
      : "",
    minimality
      ? table(
          ["part", "effect", "share", `random ${ofEdges ? "edges" : "heads"}`, "without"],
          minimality.components.map(({ component, effect, share, atLeast, without }) => [
            component,
            decimal(effect),
            percent(share),
            percent(atLeast),
            list(without),
          ]),
        )
      : "",
    signed && absolute
      ? `\nfaithfulness of the first components alone\n${table(
          ["share", "k", "signed", "by magnitude"],
          signed.points.map(({ share, k, faithfulness }, i) => [
            percent(share),
            String(k),
            decimal(faithfulness),
            decimal(absolute.points[i]?.faithfulness ?? Number.NaN),
          ]),
        )}`
      : "",
  ].join("");
}

function list(names: readonly string[]): string {
  return names.length > 0 ? names.join(", ") : "nothing";
}
