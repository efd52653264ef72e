import type { TuneResult } from "../../results.ts";
import { count, decimal, duration, fields, percent } from "../table.ts";

const savedAs = { out: "saved in", delta: "delta", adapter: "adapter for PEFT" } as const;

export function tuneText(
  result: TuneResult & { readonly adapter?: string; readonly delta?: string },
): string {
  const { loss, isolation, trainedParameters, totalParameters } = result;
  const share = percent(trainedParameters / totalParameters, 2);
  const mean = (losses: readonly number[]) =>
    losses.reduce((sum, value) => sum + value, 0) / losses.length;
  const tenth = Math.max(1, Math.floor(loss.length / 10));
  return fields([
    ["trained", `${count(trainedParameters)} of ${count(totalParameters)} parameters (${share})`],
    ["heads", result.method === "full" ? "all" : result.heads.join(",") || "none"],
    ["MLPs", result.method === "full" ? "all" : result.mlps.join(",") || "none"],
    ["updates", `${count(result.steps)} in ${duration(result.seconds)}`],
    [
      "loss",
      `${decimal(mean(loss.slice(0, tenth)))} first, ${decimal(mean(loss.slice(-tenth)))} last`,
    ],
    ["changed tensors", `${isolation.changedTensors.length}`],
    [
      "unselected weights changed",
      `${isolation.unselectedChanged} of ${count(isolation.checked)} slices checked`,
    ],
    ...(["out", "delta", "adapter"] as const).flatMap((kind): [string, string][] => {
      const path = result[kind];
      return path === undefined ? [] : [[savedAs[kind], path]];
    }),
  ]);
}
