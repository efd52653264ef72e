/**
 * The tasks that a model has, by name: those of its card if it is a bundled model, else the four
 * operations. What `keyheads items` writes and `keyheads run` asks.
 */
import { readFile } from "node:fs/promises";
import {
  type ArithmeticCard,
  type ArithmeticCounterfactual,
  bundledModels,
  type DigitCounterfactual,
  type Operation,
  type Style,
  type TaskCard,
  textFile,
} from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { appliedReaders, appliedTasks } from "./applied.ts";
import { arithmeticItems, type TaskItems } from "./arithmetic.ts";
import { problemItems } from "./datasets/dataset-items.ts";
import { DigitsAdd } from "./digits-add.ts";
import type { FactLimits } from "./facts.ts";
import type { Split } from "./splits.ts";
import type { Template } from "./template.ts";
import { operations, templatesOf } from "./templates.ts";
import { textItems } from "./text-control.ts";
import { wordItems } from "./word-tasks.ts";
import { toRaw } from "./write-items.ts";

/** What tasks need of a model. */
export interface TaskModel {
  readonly name: string;
  readonly tokenizer: Tokenizer | undefined;
  readonly spec: { readonly vocab: number; readonly context: number };
}

export interface BuildOptions {
  /** Names from `taskNames`; by default the card's default task, or add. */
  readonly tasks?: readonly string[];
  /** Items a task; 200. */
  readonly count?: number;
  readonly seed?: number;
  /** Default: the card of the bundled model of this name. null: none. */
  readonly card?: TaskCard | null;
  /** In place of the card's or the built-in wordings. */
  readonly templates?: readonly Template[];
  readonly styles?: readonly Style[];
  readonly counterfactual?: ArithmeticCounterfactual | DigitCounterfactual;
  readonly limits?: Partial<FactLimits>;
  /**
   * Of add, sub, mul and div: `count` items for each range of both operands (of a division: of divisor
   * and quotient), with the range in `group`, so that `transfer` can tell them apart.
   */
  readonly operands?: readonly OperandRange[];
  readonly split?: Split;
  /** Of applied tasks: only answers of one token (default), or the first token of any. */
  readonly answers?: "single" | "first";
  /** Of operations that a card has: pairs that training saw, left out, or both (default). */
  readonly pairs?: "trained" | "held-out" | "all";
  /**
   * Of a card with a training rule: wordings that training saw, withheld, or both (default), or
   * those with operator words that are new to the model.
   */
  readonly wordings?: "trained" | "withheld" | "all" | "unfamiliar";
}

/** Both ends belong to it. */
export interface OperandRange {
  readonly min: number;
  readonly max: number;
}

export interface BuiltTask extends TaskItems {
  readonly task: string;
}

/** The card of the bundled model of this name. */
export function cardOf(model: Pick<TaskModel, "name">): TaskCard | undefined {
  return bundledModels.find(({ name }) => name === model.name)?.card;
}

/** Names that `tasks` may hold for this model. */
export function taskNames(card: TaskCard | undefined): string[] {
  if (!card) return [...operations, ...appliedTasks];
  return [
    ...(card.digits?.questions.map(({ name }) => name) ?? []),
    ...(card.arithmetic?.operations ?? []),
    ...(card.arithmetic ? appliedTasks : []),
    ...(card.words?.map(({ name }) => name) ?? []),
    ...(card.text ? ["text"] : []),
  ];
}

/**
 * Lines of an items file, task by task. Throws BAD_ARGUMENT for a task that the model does not
 * have, BAD_ITEMS where a task has no usable item, NO_TOKENIZER without a tokenizer.
 */
export async function buildTaskItems(
  model: TaskModel,
  options: BuildOptions = {},
): Promise<BuiltTask[]> {
  const card = options.card === undefined ? cardOf(model) : (options.card ?? undefined);
  const { tokenizer } = model;
  if (!tokenizer) {
    throw new KeyheadsError(
      "NO_TOKENIZER",
      `${model.name} has no tokenizer, which the built-in tasks need; write an items file in token ids`,
    );
  }
  const ready = { ...model, tokenizer };
  const built: BuiltTask[] = [];
  for (const task of options.tasks ?? [card?.defaultTask ?? "add"]) {
    for (const range of options.operands ?? [undefined]) {
      const one = range
        ? inRange(task, await buildOne(task, card, ready, withLimits(task, options, range)), range)
        : { task, ...(await buildOne(task, card, ready, options)) };
      checkUsable(model.name, one);
      built.push(one);
    }
  }
  return built;
}

function checkUsable(name: string, { task, items, dropped }: BuiltTask): void {
  if (items.length > 0) return;
  const reasons = dropped.slice(0, 5).map((d) => `  ${JSON.stringify(d.candidate)}: ${d.why}`);
  throw new KeyheadsError(
    "BAD_ITEMS",
    [`${name} cannot be asked ${task}: no prompt can be used`, ...reasons].join("\n"),
  );
}

function withLimits(task: string, options: BuildOptions, { min, max }: OperandRange): BuildOptions {
  if (!operations.some((operation) => operation === task)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `ranges of operands are for ${operations.join(", ")}; the task ${task} draws its own numbers`,
    );
  }
  return { ...options, limits: { ...options.limits, min, max } };
}

/** The same fact may be asked in several ranges: names of items say which. */
function inRange(task: string, found: TaskItems, { min, max }: OperandRange): BuiltTask {
  const range = `${min}-${max}`;
  const items = found.items.map((item) => ({
    ...item,
    id: `${item.id} (${range})`,
    group: `${item.group ?? task} ${range}`,
  }));
  return { ...found, items, task: `${task} ${range}` };
}

type Ready = TaskModel & { readonly tokenizer: Tokenizer };

async function buildOne(
  task: string,
  card: TaskCard | undefined,
  model: Ready,
  options: BuildOptions,
): Promise<TaskItems> {
  const { seed = 0, count = 200, split, answers = "single" } = options;
  const common = {
    tokenizer: model.tokenizer,
    ...model.spec,
    count,
    seed,
    ...(split ? { split } : {}),
    ...(card ? { shares: card.splits } : {}),
  };
  if (card?.digits?.questions.some(({ name }) => name === task)) {
    return digitItems(task, card, model, options);
  }
  const words = card?.words?.find(({ name }) => name === task);
  if (words) return wordItems(words, common);
  if (card?.text && task === "text") {
    const text = await readFile(textFile(card.text.file), "utf8");
    const { items } = textItems(text, model.tokenizer, {
      count,
      seed,
      context: model.spec.context,
    });
    return { items: items.map(toRaw), dropped: [], available: items.length };
  }
  if (!taskNames(card).includes(task)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `no task "${task}" for ${model.name}; it has ${taskNames(card).join(", ")}`,
    );
  }
  const applied = appliedTasks.find((name) => name === task);
  if (applied) {
    const readers = appliedReaders(applied, seed, 1000 + 20 * count);
    return problemItems(readers, model, { count, seed, answers, ...(split ? { split } : {}) });
  }
  return arithmeticItems({ ...common, ...arithmeticOf(task as Operation, card, options) });
}

function arithmeticOf(operation: Operation, card: TaskCard | undefined, options: BuildOptions) {
  const own = card?.arithmetic;
  const { pairs = "all", styles, templates } = options;
  const heldOut = new Set(own?.heldOut[operation].map(([a, b]) => `${a},${b}`));
  if (pairs !== "all" && !own) {
    throw new KeyheadsError("BAD_ARGUMENT", `pairs ${pairs}: what training saw is not known here`);
  }
  const counterfactual = kindOf(arithmeticKinds, options.counterfactual) ?? own?.counterfactual;
  const wordings = templates ?? (own ? templatesOf(chosenWordings(own, options)) : undefined);
  return {
    operation,
    ...(wordings ? { templates: wordings } : {}),
    ...(styles ? { styles } : {}),
    ...(counterfactual ? { counterfactual } : {}),
    ...(own ? { slots: own.slots } : {}),
    limits: {
      ...(own
        ? {
            ...own.operands,
            largest: own.largest,
            smallestFactor: 0,
            smallerFactor: own.smallerFactor,
          }
        : {}),
      ...options.limits,
    },
    ...(pairs === "all"
      ? {}
      : { only: (a: number, b: number) => heldOut.has(`${a},${b}`) === (pairs === "held-out") }),
  };
}

function chosenWordings(own: ArithmeticCard, { wordings = "all" }: BuildOptions) {
  if (wordings === "all") return own.templates;
  if (wordings === "unfamiliar") return own.training?.unfamiliar ?? [];
  const withheld = own.training?.withheldWordings ?? [];
  return own.templates.filter(({ name }) => withheld.includes(name) === (wordings === "withheld"));
}

function digitItems(task: string, card: TaskCard, model: Ready, options: BuildOptions): TaskItems {
  const digits = new DigitsAdd(card, model.tokenizer, { seed: options.seed ?? 0 });
  const question = digits.question(task);
  const population = digits.pairs(question.class, options.split);
  const count = Math.min(options.count ?? 200, population.length);
  const pairs = digits.sample(question.class, count, options.split);
  const counterfactual = kindOf(digitKinds, options.counterfactual);
  const items = digits.items(pairs, question, counterfactual ? { counterfactual } : {});
  return { items: items.map(toRaw), dropped: [], available: population.length };
}

const arithmeticKinds: readonly ArithmeticCounterfactual[] = [
  "null-operator",
  "operands",
  "operator",
  "digit",
  "prompt",
];
const digitKinds: readonly DigitCounterfactual[] = [
  "flip-ones-carry",
  "flip-tens-carry",
  "redraw-ones",
  "other-prompt",
];

function kindOf<T extends string>(kinds: readonly T[], kind: string | undefined): T | undefined {
  if (kind === undefined) return undefined;
  const found = kinds.find((entry) => entry === kind);
  if (found !== undefined) return found;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `counterfactual "${kind}" does not exist for this task; it has ${kinds.join(", ")}`,
  );
}
