import type { BudgetComparison, ItemAccuracy, TuningOutcome } from "../../results.ts";
import { byteSize, count, decimal, duration, percent, table } from "../table.ts";

export function compareText(result: BudgetComparison): string {
  const { before, methods, matched } = result;
  const others = before.others.map(({ name }) => name);
  const head = ["method", "parameters", "rate", "task", "change (95 %)", "p", ...others];
  const rest = ["text loss", "KL", "same heads", "step", "memory"];
  const rows = methods.map((method) => [
    method.title,
    count(method.trainedParameters),
    String(method.lr),
    ...change(method.task),
    ...method.others.map(points),
    ...outcome(method),
    duration(method.secondsPerStep),
    byteSize(method.peakBytes),
  ]);
  const base = [
    "base",
    "",
    "",
    percent(before.task.accuracy),
    "",
    "",
    ...before.others.map(({ accuracy }) => percent(accuracy)),
    ...outcome(before),
    "",
    "",
  ];
  return [
    table([...head, ...rest], [base, ...rows]),
    `${result.steps} updates of ${result.itemsPerUpdate} items each; changes are in points, paired with the base\n`,
    matched ? `${matched.verdict.text}\n` : "",
  ].join("");
}

function change(accuracy: ItemAccuracy): string[] {
  const { difference, ci, p } = accuracy.paired;
  const [low, high] = ci.map((x) => decimal(100 * x, 1));
  return [
    percent(accuracy.accuracy),
    `${decimal(100 * difference, 1)} (${low} to ${high})`,
    p.toPrecision(2),
  ];
}

const points = ({ paired }: ItemAccuracy) => decimal(100 * paired.difference, 1);

function outcome({ text, direct }: TuningOutcome): string[] {
  return [
    text ? decimal(text.loss) : "–",
    text ? decimal(text.kl, 4) : "–",
    direct ? percent(direct.overlap, 0) : "–",
  ];
}
