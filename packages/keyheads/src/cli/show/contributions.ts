import type { ContributionsResult } from "../../results.ts";
import { decimal, fields, interval, table } from "../table.ts";

const mostHeads = 12;

/** The sum first, then heads and MLPs by size, then neurons with their tokens. */
export function contributionsText(result: ContributionsResult): string {
  const { items, total, embedding, heads, mlps, biases, neurons } = result;
  const parts = [
    ...heads.flatMap((row, layer) =>
      row.map((logit, head) => ({ name: `${layer}.${head}`, logit })),
    ),
    ...mlps.map((logit, layer) => ({ name: `mlp ${layer}`, logit })),
  ].sort((a, b) => Math.abs(b.logit) - Math.abs(a.logit));
  const quoted = (tokens: readonly string[]) => tokens.map((one) => JSON.stringify(one)).join(" ");
  return [
    `${items.used} items; what parts add to the answer's logit above the mean logit\n\n`,
    fields([
      ["in all", decimal(total)],
      ["embedding", decimal(embedding)],
      ["output biases", decimal(biases)],
    ]),
    "\n",
    table(
      ["part", "logit"],
      parts.slice(0, mostHeads).map(({ name, logit }) => [name, decimal(logit)]),
    ),
    neurons.length === 0
      ? ""
      : `\n${table(
          ["neuron", "logit", "95 % interval", "activation", "promotes", "suppresses"],
          neurons.map(({ layer, neuron, logit, activation, promotes, suppresses }) => [
            `${layer}.${neuron}`,
            decimal(logit.mean),
            interval([logit.low, logit.high]),
            decimal(activation),
            quoted(promotes),
            quoted(suppresses),
          ]),
        )}`,
  ].join("");
}
