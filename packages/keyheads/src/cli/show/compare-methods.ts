import type { Agreed, CompareMethodsResult, EstimandJudgement } from "../../results.ts";
import { decimal, interval, percent, table } from "../table.ts";

/** One table an exact answer: how its approximations agree with it. */
export function compareMethodsText(result: CompareMethodsResult): string {
  const { items, effect, estimands, skipped } = result;
  return [
    `${items.used} items, ${items.dropped.length} dropped; effect ${effect}\n`,
    ...estimands.map(estimandText),
    ...skipped.map(({ estimand, why }) => `\n${estimand}: left out, ${why}\n`),
  ].join("");
}

function estimandText({ estimand, of, seconds, circuit, methods }: EstimandJudgement): string {
  const k = methods[0]?.overlap.k ?? 0;
  const chance = methods[0]?.overlap.chance ?? Number.NaN;
  const what = estimand === "edges" ? "edges" : "senders";
  const own = circuit ? `, CPR ${decimal(circuit.cpr)}, CMD ${decimal(circuit.cmd)}` : "";
  return [
    `\n${estimand}: ${of} ${what}, ${decimal(seconds)} s exactly${own}; top ${k} by chance ${percent(chance)}\n`,
    table(
      [
        "method",
        "rank",
        "interval",
        "top",
        "interval",
        "sign",
        "error",
        "CPR",
        "CMD",
        "seconds",
        "faster",
      ],
      methods.map(({ method, rank, overlap, sign, error, circuit: own, seconds, speedup }) => [
        method,
        decimal(rank.mean),
        between(rank),
        percent(overlap.mean, 0),
        between(overlap),
        percent(sign.mean, 0),
        percent(error, 0),
        decimal(own?.cpr ?? Number.NaN),
        decimal(own?.cmd ?? Number.NaN),
        decimal(seconds),
        `${decimal(speedup, 1)} x`,
      ]),
    ),
  ].join("");
}

const between = ({ low, high }: Agreed): string => interval([low, high], 2);
