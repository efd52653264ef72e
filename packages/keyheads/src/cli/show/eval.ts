import type { EvalResult } from "../../results.ts";
import { decimal, fields, interval, percent, percentInterval } from "../table.ts";

export function evalText(result: EvalResult, baseline: string | undefined): string {
  const { items, n, mode, accuracy, ci, logprob, logprobCI, paired } = result;
  const lines: [string, string][] = [
    ["items", `${n} used, ${items.dropped.length} dropped (mode ${mode})`],
    ["accuracy", `${percent(accuracy)} ${percentInterval(ci)}`],
    ["log-probability", `${decimal(logprob)} ${interval(logprobCI)}`],
  ];
  if (paired) {
    lines.push(
      ["baseline", `${percent(paired.baseline)} (${baseline})`],
      [
        "difference",
        `${(100 * paired.difference).toFixed(1)} points ${percentInterval(paired.ci)}, p = ${paired.p.toPrecision(2)}`,
      ],
      ["became right, wrong", `${paired.fixed}, ${paired.broken}`],
    );
  }
  return fields(lines);
}
