import type { TransferResult } from "../../results.ts";
import { decimal, percent, table } from "../table.ts";

/** The sets, then one table a matrix: rows are where heads come from, columns what is asked. */
export function transferText(result: TransferResult): string {
  const { sets, split, jaccard, chance, rank, accuracy, random } = result;
  const names = sets.map(({ name }) => name);
  const matrix = (title: string, cell: (from: number, on: number) => string) =>
    `\n${title}\n${table(
      ["from \\ on", ...names],
      names.map((name, from) => [name, ...names.map((_, on) => cell(from, on))]),
    )}`;
  const value = (all: readonly (readonly number[])[], from: number, on: number) =>
    all[from]?.[on] ?? Number.NaN;
  return [
    table(
      ["set", "found on", "tested on", "accuracy", "key heads"],
      sets.map((set) => [
        set.name,
        String(set.discovery),
        String(set.evaluation),
        percent(set.baseline),
        set.keyHeads.join(", ") || "none",
      ]),
    ),
    split === "none" ? "heads were found and tested on the same items\n" : "",
    matrix("key heads in common: Jaccard index (chance)", (from, on) => {
      return `${decimal(value(jaccard, from, on), 2)} (${decimal(value(chance, from, on), 2)})`;
    }),
    matrix("agreement of rankings: rank-biased overlap", (from, on) =>
      decimal(value(rank, from, on), 2),
    ),
    matrix("accuracy without the heads (random sets)", (from, on) => {
      const band = random[from]?.[on];
      const range = band ? ` (${percent(band.low, 0)} to ${percent(band.high, 0)})` : "";
      return `${percent(value(accuracy, from, on))}${range}`;
    }),
  ].join("");
}
