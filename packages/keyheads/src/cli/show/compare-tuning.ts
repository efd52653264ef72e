import { type MethodGroup, methodGroups, type Spread } from "@keyheads/report";
import type {
  BudgetComparison,
  ItemAccuracy,
  TuningComparison,
  TuningOutcome,
} from "../../results.ts";
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
    matched ? matchedText(matched) : "",
  ].join("");
}

/** Draws as median and range; what never reached the gain has neither updates nor a price. */
function matchedText(matched: TuningComparison): string {
  const head = ["method", "replay", "parameters", "rate", "reached", "updates", "gain", "lost"];
  const rows = methodGroups(matched).map((group: MethodGroup) => [
    group.title,
    group.replay ? "yes" : "no",
    spread(group.trainedParameters, count),
    spread(group.lr, String),
    `${group.reached} of ${group.methods.length}`,
    spread(group.updates, String),
    spread(group.gain, (points) => decimal(points, 1)),
    spread(group.collateral, (points) => decimal(points, 2)),
  ]);
  return [
    `\nat a gain of ${matched.matchedGain} points on ${matched.target}:\n`,
    table(head, rows),
    "gain and what is lost elsewhere are points on test items; of several runs the median and the range\n",
    `${matched.verdict.text}\n`,
  ].join("");
}

function spread(value: Spread | undefined, show: (value: number) => string): string {
  if (!value) return "–";
  const { median, low, high } = value;
  return low === high ? show(median) : `${show(median)} (${show(low)} to ${show(high)})`;
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
