/** Items of a public data set: which, from what file, asked how. */

import { KeyheadsError } from "../errors.ts";
import type { BuiltTask, TaskModel } from "../tasks/build-items.ts";
import { datasetItems, datasetNames, defaultFormat } from "../tasks/datasets/dataset-items.ts";
import type { Split } from "../tasks/splits.ts";
import { option } from "./command.ts";
import { choice, text } from "./values.ts";

export const ioiKinds = ["swap", "other-name"] as const;

export const datasetOptions = {
  dataset: option(
    "--dataset <name>",
    `a data set instead of tasks: ${datasetNames.join(", ")}; with --from`,
    choice(...datasetNames).optional(),
  ),
  from: option("--from <file>", "the data set's own file", text().optional()),
  format: option(
    "--format <text>",
    `how a question is asked (default: ${JSON.stringify(defaultFormat)})`,
    text().optional(),
  ),
  answers: option(
    "--answers <which>",
    "single: answers of one token; first: the first token of any (default: single)",
    choice("single", "first").default("single"),
  ),
  marks: option(
    "--marks <mode>",
    "of gsm8k: text without its <<...>> marks, or calculator with them (default: text)",
    choice("text", "calculator").default("text"),
  ),
} as const;

interface DatasetValues {
  readonly dataset: (typeof datasetNames)[number] | undefined;
  readonly from: string | undefined;
  readonly format: string | undefined;
  readonly answers: "single" | "first";
  readonly marks: "text" | "calculator";
  readonly counterfactual: string | undefined;
  readonly task: string | undefined;
  readonly count: number | undefined;
  readonly split: Split | undefined;
  readonly seed: number;
}

/** Throws USAGE for options that do not go together, BAD_ITEMS where nothing can be used. */
export async function readDataset(model: TaskModel, values: DatasetValues): Promise<BuiltTask> {
  const { dataset, from, format, answers, marks, count, split, seed } = values;
  if (dataset === undefined || from === undefined) {
    throw new KeyheadsError("USAGE", "--dataset NAME and --from FILE belong together; give both");
  }
  if (values.task !== undefined) {
    throw new KeyheadsError("USAGE", "--dataset and --task exclude each other; give one of them");
  }
  const counterfactual = ioiKinds.find((kind) => kind === values.counterfactual);
  if (values.counterfactual !== undefined && (!counterfactual || dataset !== "ioi")) {
    throw new KeyheadsError("USAGE", `--counterfactual: ${dataset} has one of its own`);
  }
  const options = {
    ...{ dataset, answers, marks, seed },
    ...(format !== undefined && { format: format.replaceAll("\\n", "\n") }),
    ...(count !== undefined && { count }),
    ...(split !== undefined && { split }),
    ...(counterfactual && { counterfactual }),
  };
  const result = await datasetItems(model, from, options);
  if (result.items.length > 0) return { task: dataset, ...result };
  const reasons = result.dropped
    .slice(0, 5)
    .map(({ candidate, why }) => `  ${JSON.stringify(candidate.slice(-60))}: ${why}`);
  throw new KeyheadsError(
    "BAD_ITEMS",
    [`${from}: none of ${result.dropped.length} entries can be used`, ...reasons].join("\n"),
  );
}
