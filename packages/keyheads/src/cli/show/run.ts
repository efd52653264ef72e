import type { Experiment, RunResult } from "../../results.ts";
import { duration, percent, table } from "../table.ts";

/** What a run found, in a few lines; the report has the rest. */
export function runText(
  result: RunResult,
  { out, report }: { readonly out: string; readonly report: string },
): string {
  const { model, task, experiments, tuning, claims } = result;
  return [
    `${model.name}: ${task.title}\n`,
    ...experiments.map(experimentText),
    ...(tuning ? [`\ntuning: ${tuning.verdict.text}\n`] : []),
    "\n",
    table(
      ["claim of the paper", "verdict"],
      claims.map(({ claim, verdict }) => [claim, verdict]),
    ),
    `\nin ${duration(result.seconds)}; everything is in ${out}\nreport: ${report}\n`,
  ].join("");
}

function experimentText({ title, direct, totalAll, knockout }: Experiment): string {
  const heads = direct.keyHeads.map((name) => `${name} ${shareOf(direct, name)}`);
  const mlps = direct.keyMlps.map(
    (layer) => `${layer} ${percent(direct.mlpShares[layer] ?? 0, 0)}`,
  );
  const upstream = totalAll?.keyHeads.map((name) => `${name} ${shareOf(totalAll, name)}`) ?? [];
  const [before, after] = [knockout?.curve[0], knockout?.curve.at(-1)];
  return [
    `\n${title} (${direct.items.used} items; shares of the total effect)\n`,
    `  heads that write the answer: ${heads.join(", ") || "none"}\n`,
    `  MLPs that write the answer:  ${mlps.join(", ") || "none"}\n`,
    ...(upstream.length > 0 ? [`  heads with a total effect:   ${upstream.join(", ")}\n`] : []),
    ...(before && after
      ? [
          `  without ${after.k} heads: ${percent(before.accuracy)} -> ${percent(after.accuracy)} right\n`,
        ]
      : []),
  ].join("");
}

function shareOf({ headShares }: Experiment["direct"], name: string): string {
  const [layer = 0, head = 0] = name.split(".").map(Number);
  return percent(headShares[layer]?.[head] ?? Number.NaN, 0);
}
