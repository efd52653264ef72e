// The plan for a model that is asked in words and symbols: built-in tasks, with the wordings of its
// card where it has one. Other tasks are the controls of each, neutral text where there is none.
import type { BundledModel, TaskCard } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { answersOf } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import { type BuildOptions, buildTaskItems, taskNames } from "../tasks/build-items.ts";
import { type Item, type ItemSet, itemsFromRaw } from "../tasks/items.ts";
import type { Split } from "../tasks/splits.ts";
import type { Template } from "../tasks/template.ts";
import { type NeutralText, neutralText } from "./neutral-text.ts";
import { type EvaluationClass, evaluationClass, type RunPlan, type RunQuestion } from "./plan.ts";

const operations = ["add", "sub", "mul", "div"] as const;
const discoverItems = 512;
const testItems = 300;

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
  const known = taskNames(card).filter((name) => name !== "text");
  const neighbours = await builder.buildable(known.filter((name) => !asked.includes(name)));
  const text = card && !card.text ? undefined : await neutralText(model, card, options.seed);

  const questions: RunQuestion[] = [];
  for (const name of asked) questions.push(await makeQuestion(builder, name, neighbours, text));
  const classes: EvaluationClass[] = [];
  for (const name of [...asked, ...neighbours]) {
    classes.push(
      evaluationClass(name, title(card, name), (await builder.items(name, "test")).items),
    );
  }
  if (text) classes.push(evaluationClass("text", "next token of neutral text", text.test.items));
  const unseen = await leftOut(builder, asked[0] as string);
  classes.push(...unseen);
  // What training left out is what there is to improve, where that is known.
  const target = unseen[0]?.name ?? (asked[0] as string);
  const others = [...asked.slice(1), ...neighbours];
  const from = async (split: Split) => {
    const sets: Item[][] = [];
    for (const name of others) sets.push((await builder.items(name, split)).items);
    const all = sets.flat();
    return all.length > 0 ? answersOf(all) : undefined;
  };
  const devOther = (await from("dev")) ?? (text && answersOf(text.dev.items));
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
    classes,
    ...(devOther &&
      replay && {
        tuning: {
          target,
          train: answersOf(await builder.learned(target, "discover")),
          dev: answersOf(await builder.learned(target, "dev")),
          devOther,
          replay,
          classes,
          maxUpdates: 40,
        },
      }),
    missing: card?.missing ?? [],
    nullOperator:
      (operations as readonly string[]).includes(asked[0] as string) &&
      (card?.arithmetic?.counterfactual ?? "null-operator") === "null-operator",
  };
}

/** Ways in which a card's training left items of an operation out, as names of `Builder.items`. */
const leftOutKinds = {
  "withheld wording": { pairs: "trained", wordings: "withheld" },
  "held-out facts": { pairs: "held-out", wordings: "trained" },
} as const satisfies Record<string, Pick<BuildOptions, "pairs" | "wordings">>;
const leftOutName = " left out";
type LeftOutKind = keyof typeof leftOutKinds;

/** What training left out of an operation: both kinds together, which tuning is to improve, and each. */
async function leftOut(builder: Builder, task: string): Promise<EvaluationClass[]> {
  if (!builder.card?.arithmetic?.training || !(operations as readonly string[]).includes(task)) {
    return [];
  }
  const name = title(builder.card, task);
  const kinds = Object.keys(leftOutKinds) as LeftOutKind[];
  const sets = await Promise.all(kinds.map((kind) => builder.items(task, "test", kind)));
  return [
    evaluationClass(
      `${task}${leftOutName}`,
      `${name} that training left out: the withheld wording and held-out facts`,
      sets.flatMap(({ items }) => items),
    ),
    ...kinds.map((kind, i) =>
      evaluationClass(`${task}, ${kind}`, `${name}, ${kind}`, sets[i]?.items ?? []),
    ),
  ];
}

async function makeQuestion(
  builder: Builder,
  name: string,
  neighbours: readonly string[],
  text: NeutralText | undefined,
): Promise<RunQuestion> {
  // A task without arithmetic is the best control, then text, then a neighbouring operation.
  const unrelated = neighbours.find((other) => !(operations as readonly string[]).includes(other));
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

  /** What tuning learns from, for a target that is a task or what training left out of one. */
  async learned(target: string, split: Split): Promise<Item[]> {
    if (!target.endsWith(leftOutName)) return (await this.items(target, split)).items;
    const task = target.slice(0, -leftOutName.length);
    const sets: Item[][] = [];
    for (const kind of Object.keys(leftOutKinds) as LeftOutKind[]) {
      sets.push((await this.items(task, split, kind)).items);
    }
    return sets.flat();
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
