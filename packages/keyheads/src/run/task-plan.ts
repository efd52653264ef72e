// The plan for a model that is asked in words and symbols: built-in tasks, with the wordings of its
// card where it has one. Other tasks are the controls of each, neutral text where there is none.
import type { BundledModel, TaskCard } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { answersOf } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import { appliedTasks } from "../tasks/applied.ts";
import { type BuildOptions, buildTaskItems, taskNames } from "../tasks/build-items.ts";
import { type Item, type ItemSet, itemsFromRaw } from "../tasks/items.ts";
import type { Split } from "../tasks/splits.ts";
import type { Template } from "../tasks/template.ts";
import { type NeutralText, neutralText } from "./neutral-text.ts";
import { evaluationClass, type RunPlan, type RunQuestion } from "./plan.ts";

const operations: readonly string[] = ["add", "sub", "mul", "div"];
const discoverItems = 512;
const testItems = 300;
/** A wording is learnt or not: half of the answers are to become right, which takes larger steps. */
const newWordings = { points: 50, learningRates: [1e-4, 3e-4, 1e-3], batch: 32 };
/** Of each class, for the many methods that are compared. */
const comparedItems = 150;

const isOperation = (task: string) => operations.includes(task);

export interface TaskPlanOptions {
  readonly task?: readonly string[];
  readonly templates?: readonly Template[];
  readonly seed: number;
}

export async function taskPlan(
  model: Model,
  card: TaskCard | undefined,
  bundled: BundledModel | undefined,
  options: TaskPlanOptions,
): Promise<RunPlan> {
  const builder = new Builder(model, card, options);
  const asked = options.task ?? [card?.defaultTask ?? "add"];
  const known = taskNames(card).filter(
    (name) => name !== "text" && !(appliedTasks as readonly string[]).includes(name),
  );
  const neighbours = await builder.buildable(known.filter((name) => !asked.includes(name)));
  const text = card && !card.text ? undefined : await neutralText(model, card, options.seed);

  const questions: RunQuestion[] = [];
  for (const name of asked) questions.push(await makeQuestion(builder, name, neighbours, text));
  const unseen = await leftOut(builder, asked[0] as string);
  const rows: { readonly name: string; readonly title: string; readonly items: readonly Item[] }[] =
    [];
  for (const name of [...asked, ...neighbours]) {
    const { items } = await builder.items(name, "test");
    rows.push({ name, title: title(card, name), items });
  }
  if (text) {
    rows.push({ name: "text", title: "next token of neutral text", items: text.test.items });
  }
  rows.push(...unseen);
  const classes = (most = Number.POSITIVE_INFINITY) =>
    rows.map(({ name, title, items }) => evaluationClass(name, title, items.slice(0, most)));
  // Wordings that are new to the model are what there is to improve, where they are known.
  const unfamiliar = unseen.find(({ kind }) => kind === "unfamiliar wordings");
  const target = unfamiliar?.name ?? (asked[0] as string);
  const others = [...asked, ...neighbours].filter((name) => name !== target);
  const learned = async (split: Split, most?: number) => {
    const { items } = await builder.items(asked[0] as string, split, unfamiliar?.kind);
    return answersOf(items.slice(0, most));
  };
  const from = async (split: Split, most?: number) => {
    const sets: Item[][] = [];
    for (const name of others) {
      sets.push((await builder.items(name, split)).items.slice(0, most));
    }
    const all = sets.flat();
    return all.length > 0 ? answersOf(all) : undefined;
  };
  const devOther = (await from("dev", comparedItems)) ?? (text && answersOf(text.dev.items));
  const replay = (await from("discover")) ?? devOther;
  return {
    task: {
      title: card?.title ?? "Arithmetic in words and symbols",
      summary: card?.summary ?? `Built-in tasks: ${asked.join(", ")}.`,
      promptForm: card?.promptForm ?? questions[0]?.discover.items[0]?.prompt ?? "",
      notes: [
        ...(card?.notes ?? []),
        `Operand facts are split between discovery (and tuning), dev and test; no fact is in two.`,
      ],
    },
    ...(bundled && { origin: bundled.origin, licence: bundled.licence }),
    questions,
    classes: classes(),
    ...(devOther &&
      replay && {
        tuning: {
          target,
          ...(unfamiliar ? newWordings : {}),
          train: await learned("discover"),
          dev: await learned("dev", comparedItems),
          devOther,
          replay,
          classes: classes(comparedItems),
          maxUpdates: 40,
        },
      }),
    ...(unfamiliar && { examples: unfamiliar.items }),
    missing: card?.missing ?? [],
    nullOperator:
      isOperation(asked[0] as string) &&
      (card?.arithmetic?.counterfactual ?? "null-operator") === "null-operator",
  };
}

/** What a card's training left out of an operation. */
const leftOutKinds = {
  "unfamiliar wordings": { pairs: "trained", wordings: "unfamiliar" },
  "withheld wording": { pairs: "trained", wordings: "withheld" },
  "held-out facts": { pairs: "held-out", wordings: "trained" },
} as const satisfies Record<string, Pick<BuildOptions, "pairs" | "wordings">>;
type LeftOutKind = keyof typeof leftOutKinds;

interface LeftOut {
  readonly kind: LeftOutKind;
  readonly name: string;
  readonly title: string;
  readonly items: readonly Item[];
}

/** Items of the test split of what training left out; none for other tasks and models. */
async function leftOut(builder: Builder, task: string): Promise<LeftOut[]> {
  if (!builder.card?.arithmetic?.training || !isOperation(task)) return [];
  const kinds = Object.keys(leftOutKinds) as LeftOutKind[];
  return await Promise.all(
    kinds.map(async (kind) => ({
      kind,
      name: `${task}, ${kind}`,
      title: `${title(builder.card, task)}, ${kind}`,
      items: (await builder.items(task, "test", kind)).items,
    })),
  );
}

async function makeQuestion(
  builder: Builder,
  name: string,
  neighbours: readonly string[],
  text: NeutralText | undefined,
): Promise<RunQuestion> {
  // A task without arithmetic is the best control, then text, then a neighbouring operation.
  const unrelated = neighbours.find((other) => !isOperation(other));
  const control = unrelated
    ? { title: unrelated, test: await builder.items(unrelated, "test") }
    : text
      ? { title: "next token of neutral text", test: text.test }
      : neighbours[0] !== undefined
        ? { title: neighbours[0], test: await builder.items(neighbours[0], "test") }
        : undefined;
  return {
    name,
    title: title(builder.card, name),
    description: builder.describe(name),
    discover: await builder.items(name, "discover"),
    test: await builder.items(name, "test"),
    ...(control && { control }),
  };
}

const titles: Readonly<Record<string, string>> = {
  add: "addition",
  sub: "subtraction",
  mul: "multiplication",
  div: "division",
};

function title(card: TaskCard | undefined, name: string): string {
  return card?.words?.find((task) => task.name === name)?.title ?? titles[name] ?? name;
}

/** Items of a task and split, made once. */
class Builder {
  readonly card: TaskCard | undefined;
  readonly #model: Model;
  readonly #options: TaskPlanOptions;
  readonly #made = new Map<string, ItemSet>();

  constructor(model: Model, card: TaskCard | undefined, options: TaskPlanOptions) {
    this.#model = model;
    this.card = card;
    this.#options = options;
  }

  async items(task: string, split: Split, kind?: LeftOutKind): Promise<ItemSet> {
    const key = `${task}/${split}/${kind ?? ""}`;
    const before = this.#made.get(key);
    if (before) return before;
    const { seed, templates } = this.#options;
    const [built] = await buildTaskItems(this.#model, {
      tasks: [task],
      count: split === "discover" ? discoverItems : testItems,
      seed,
      split,
      card: this.card ?? null,
      ...(kind && leftOutKinds[kind]),
      ...(templates && { templates }),
    });
    const set = itemsFromRaw(built?.items ?? [], this.#model.tokenizer, {
      name: task,
      single: true,
      ...this.#model.spec,
    });
    this.#made.set(key, set);
    return set;
  }

  /** Those of the tasks that this model's tokenizer can be asked in every split. */
  async buildable(tasks: readonly string[]): Promise<string[]> {
    const able: string[] = [];
    for (const task of tasks) {
      try {
        for (const split of ["discover", "dev", "test"] as const) await this.items(task, split);
        able.push(task);
      } catch (cause) {
        const expected = cause instanceof KeyheadsError && /^BAD_/.test(cause.code);
        if (!expected) throw cause;
      }
    }
    return able;
  }

  describe(task: string): string {
    const example = this.#made.get(`${task}/discover/`)?.items[0];
    const answer = example?.answer?.trim() ?? "";
    return example?.prompt === undefined ? "" : `For example: "${example.prompt}" -> "${answer}".`;
  }
}
