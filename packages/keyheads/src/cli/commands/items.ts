/** Writes an items file of the built-in tasks, made for the model's own tokenizer. */
import type { Style } from "@keyheads/models";
import { KeyheadsError } from "../../errors.ts";
import { resolveModel } from "../../load/resolve-model.ts";
import { writeWhole } from "../../run/write-whole.ts";
import { appliedTasks } from "../../tasks/applied.ts";
import {
  type BuildOptions,
  type BuiltTask,
  buildTaskItems,
  cardOf,
  type OperandRange,
} from "../../tasks/build-items.ts";
import { splitNames } from "../../tasks/splits.ts";
import { operations, readTemplates, styles } from "../../tasks/templates.ts";
import { type Blueprint, openBlueprint } from "../blueprint.ts";
import type { Cli } from "../cli.ts";
import { type CommandOutput, defineCommand, option } from "../command.ts";
import { datasetOptions, ioiKinds, readDataset } from "../datasets.ts";
import { force, optional, seed } from "../options.ts";
import { refuseExisting } from "../output-file.ts";
import { choice, integer, list, text } from "../values.ts";

const defaultCount = 200;
const arithmeticKinds = ["null-operator", "operands", "operator", "digit", "prompt"] as const;
const digitKinds = ["flip-ones-carry", "flip-tens-carry", "redraw-ones", "other-prompt"] as const;

export const command = defineCommand({
  name: "items",
  summary: "write an items file of the built-in tasks or of a data set",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "items ./my-model --task add,sub --count 500 --out items.jsonl",
    "items mathgpt_add3_h4_l4 --split test > items.jsonl",
    "items ./my-model --task add --operands 0-9,10-39,100-999 --out ranges.jsonl",
    "items ./my-model --dataset svamp --from SVAMP.json --out svamp.jsonl",
  ],
  options: {
    ...optional,
    task: option(
      "--task <names>",
      `add, sub, mul, div, ${appliedTasks.join(", ")}, or a bundled model's own (default: its default, else add)`,
      list("names of tasks such as add,sub").optional(),
    ),
    count: option(
      "--count <n>",
      `items a task (default: ${defaultCount}; of a data set: all)`,
      integer(1).optional(),
    ),
    ...datasetOptions,
    operands: option(
      "--operands <ranges>",
      "add, sub, mul, div: --count items for each range of operands, such as 0-9,10-39,100-999; transfer --by group compares them",
      list("ranges of operands such as 0-9,10-39").optional(),
    ),
    templates: option(
      "--templates <file>",
      "wordings to use instead of the built-in ones (docs/tasks.md)",
      text().optional(),
    ),
    style: option(
      "--style <names>",
      `${styles.join(", ")} (default: all but stories)`,
      list("names of styles such as equation,question").optional(),
    ),
    counterfactual: option(
      "--counterfactual <kind>",
      "what X_c changes: null-operator, operands, operator, digit or prompt; of three-digit sums flip-ones-carry, flip-tens-carry, redraw-ones or other-prompt; of ioi swap or other-name",
      choice(...arithmeticKinds, ...digitKinds, ...ioiKinds).optional(),
    ),
    split: option(
      "--split <name>",
      `${splitNames.join(", ")} (default: all)`,
      choice(...splitNames).optional(),
    ),
    pairs: option(
      "--pairs <which>",
      "of a bundled model: trained, held-out or all operand pairs (default: all)",
      choice("trained", "held-out", "all").default("all"),
    ),
    wordings: option(
      "--wordings <which>",
      "of a bundled model with withheld ones: trained, withheld, all (both, the default), or unfamiliar (with operator words that are new to it)",
      choice("trained", "withheld", "all", "unfamiliar").default("all"),
    ),
    seed,
    out: option("--out <file>", "where the lines go (default: stdout)", text().optional()),
    force,
  },
  async run(values, cli) {
    const { out, force, task, templates, style, split, pairs, wordings } = values;
    if (out !== undefined) refuseExisting(out, force);
    const model = await openBlueprint(await resolveModel(values.target));
    if (values.dataset !== undefined || values.from !== undefined) {
      if (values.operands !== undefined) {
        throw new KeyheadsError(
          "USAGE",
          "--operands is for built-in tasks; a data set has its own",
        );
      }
      return await output(model, [await readDataset(model, values)], values, cli);
    }
    const counterfactual = builtInKind(values.counterfactual);
    const count = values.count ?? defaultCount;
    const options: BuildOptions = {
      count,
      seed: values.seed,
      answers: values.answers,
      pairs,
      wordings,
      ...(task !== undefined && { tasks: namesIn(task) }),
      ...(style !== undefined && { styles: namesIn(style).map(toStyle) }),
      ...(counterfactual !== undefined && { counterfactual }),
      ...(templates !== undefined && { templates: await readTemplates(templates) }),
      ...(split !== undefined && { split }),
      ...(values.operands !== undefined && { operands: toRanges(values.operands) }),
    };
    checkCounterfactual(model, options);
    const built = await buildTaskItems(model, options);
    return await output(model, built, values, cli);
  },
});

async function output(
  model: Pick<Blueprint, "name">,
  built: readonly BuiltTask[],
  { out }: { out: string | undefined },
  cli: Cli,
): Promise<CommandOutput> {
  const lines = built.flatMap(({ items }) => items);
  const tasks = built.map(({ task, items, available, dropped }) => ({
    task,
    items: items.length,
    available,
    dropped,
  }));
  for (const { task, items, available, dropped } of tasks) {
    const left = dropped.length > 0 ? `, ${dropped.length} candidates could not be used` : "";
    cli.note(`${task}: ${items} items of ${available} possible${left}`);
  }
  const content = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  const shared = { model: model.name, items: lines.length, tasks };
  if (out === undefined) return { data: { ...shared, lines }, text: () => content };
  await writeWhole(out, content);
  return { data: { ...shared, out }, text: () => `${out}\n` };
}

function builtInKind(kind: string | undefined): BuildOptions["counterfactual"] {
  if (kind === undefined) return undefined;
  const found = [...arithmeticKinds, ...digitKinds].find((one) => one === kind);
  if (found !== undefined) return found;
  throw new KeyheadsError("USAGE", `--counterfactual ${kind} is for --dataset ioi`);
}

function namesIn(given: string): string[] {
  return given.split(",").map((name) => name.trim());
}

function toRanges(given: string): OperandRange[] {
  return namesIn(given).map((text) => {
    const [, min, max] = /^(\d+)-(\d+)$/.exec(text) ?? [];
    if (min !== undefined && Number(min) <= Number(max)) {
      return { min: Number(min), max: Number(max) };
    }
    throw new KeyheadsError(
      "USAGE",
      `--operands: expected ranges from low to high such as 0-9,10-39, but got "${text}"`,
    );
  });
}

function toStyle(name: string): Style {
  const style = styles.find((one) => one === name);
  if (style !== undefined) return style;
  throw new KeyheadsError(
    "USAGE",
    `--style: expected one of ${styles.join(", ")}, but got "${name}"`,
  );
}

/** Sums of digits and operations in words have different kinds of X_c; other tasks have their own. */
function checkCounterfactual(model: Pick<Blueprint, "name">, options: BuildOptions): void {
  const { counterfactual } = options;
  if (counterfactual === undefined) return;
  const card = cardOf(model);
  for (const task of options.tasks ?? [card?.defaultTask ?? "add"]) {
    const digits = card?.digits?.questions.some(({ name }) => name === task);
    const arithmetic = operations.some((operation) => operation === task);
    const kinds: readonly string[] = digits ? digitKinds : arithmetic ? arithmeticKinds : [];
    if (kinds.includes(counterfactual)) continue;
    const has = kinds.length > 0 ? `has ${kinds.join(", ")}` : "has a counterfactual of its own";
    throw new KeyheadsError("USAGE", `--counterfactual ${counterfactual}: the task ${task} ${has}`);
  }
}
