import { beforeAll, describe, expect, it } from "vitest";
import { KeyheadsError } from "../../packages/keyheads/src/errors.ts";
import { appliedTasks } from "../../packages/keyheads/src/tasks/applied.ts";
import {
  buildTaskItems,
  cardOf,
  type TaskModel,
  taskNames,
} from "../../packages/keyheads/src/tasks/build-items.ts";
import { itemsFromRaw, type RawItem } from "../../packages/keyheads/src/tasks/items.ts";
import { templatesFromText } from "../../packages/keyheads/src/tasks/templates.ts";
import { loadTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";
import type { Tokenizer } from "../../packages/keyheads/src/tokenizer/types.ts";
import { bundledModels } from "../../packages/models/src/index.ts";
import { fakeTokenizer, llama3Like } from "./fake-tokenizer.ts";

const models = new Map<string, TaskModel & { tokenizer: Tokenizer }>();
const spec: Record<string, TaskModel["spec"]> = {
  stories260K: { vocab: 512, context: 512 },
  "arith-demo": { vocab: 2048, context: 512 },
  arith: { vocab: 2048, context: 512 },
};
beforeAll(async () => {
  for (const { name, folder } of bundledModels) {
    const tokenizer = (await loadTokenizer(folder)) as Tokenizer;
    models.set(name, { name, tokenizer, spec: spec[name] ?? { vocab: 10, context: 9 } });
  }
});
const model = (name: string) => models.get(name) as TaskModel & { tokenizer: Tokenizer };
const build = async (name: string, task: string, options = {}) => {
  const [built] = await buildTaskItems(model(name), { tasks: [task], count: 60, ...options });
  return built as NonNullable<typeof built>;
};
const read = (name: string, items: readonly RawItem[]) => {
  const { tokenizer, spec } = model(name);
  const set = itemsFromRaw(items, tokenizer, { single: true, ...spec });
  expect(set.dropped).toEqual([]);
  return set.items;
};
const failure = async (run: Promise<unknown>): Promise<KeyheadsError> => {
  const error = await run.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(KeyheadsError);
  return error;
};

describe("every task of every bundled model", () => {
  const all = bundledModels.flatMap(({ name, card }) =>
    taskNames(card).map((task) => [name, task]),
  );
  // Asked of any model in text: what a vocabulary has of them differs.
  const applied = (task: string) => appliedTasks.some((name) => name === task);
  it.each(all.filter(([, task]) => !applied(task as string)) as [string, string][])(
    "%s: %s",
    async (name, task) => {
      const { items, dropped, available } = await build(name, task);
      expect(items).toHaveLength(60);
      expect(available).toBeGreaterThanOrEqual(60);
      expect(dropped.length).toBeLessThan(60);
      const { tokenizer } = model(name);
      for (const item of read(name, items)) {
        // The token boundary rule, on the real tokenizer.
        if (item.prompt !== undefined) {
          expect(tokenizer.encode(`${item.prompt}${item.answer}`)).toEqual([
            ...item.promptIds,
            ...item.answerIds,
          ]);
        }
        expect(item.cluster).toBeDefined();
        if (task === "text") continue;
        expect(["discover", "dev", "test"]).toContain(item.split);
        // A null word has one token, an operator such as "divided by" has more.
        const lengths = [item.counterfactual?.length ?? 0, item.reference.length] as const;
        if (item.counterfactualAnswerId === undefined) expect(lengths[0]).toBeGreaterThan(4);
        else expect(lengths[0]).toBe(lengths[1]);
        expect(item.counterfactualAnswerId).not.toBe(item.answerId);
        expect(Object.keys(item.roles).length).toBeGreaterThanOrEqual(3);
      }
    },
  );
});

describe.each(appliedTasks)("%s", (task) => {
  it("can be asked of arith-demo, with roles, clusters and answers that are right", async () => {
    const { items } = await build("arith-demo", task, { count: 20, answers: "first" });
    expect(items.length).toBeGreaterThan(10);
    expect(new Set(items.map(({ template }) => template)).size).toBe(3);
    let others = 0;
    for (const {
      prompt = "",
      answer = "",
      roles = {},
      counterfactual,
      counterfactual_answer,
    } of items) {
      const numbers = (text: string) => (text.match(/\d+(\.\d+)?/g) ?? []).map(Number);
      const value = ([a = 0, b = 0, c = 0]: number[]) => {
        if (task === "power") return a ** b;
        return task === "years" ? b - a : a + b + c;
      };
      expect(Number(answer), prompt).toBeCloseTo(value(numbers(prompt)), 9);
      const shown = Object.values(roles).map(([from, to]) => Number(prompt.slice(from, to)));
      expect(numbers(prompt), prompt).toEqual(expect.arrayContaining(shown));
      if (counterfactual === undefined) continue;
      others += 1;
      expect(Number(counterfactual_answer), counterfactual).toBeCloseTo(
        value(numbers(counterfactual)),
        9,
      );
      expect(Number(counterfactual_answer)).not.toBe(Number(answer));
    }
    expect(others).toBeGreaterThan(items.length / 2);
    const again = await build("arith-demo", task, { count: 20, answers: "first" });
    expect(again.items).toEqual(items);
    const discover = await build("arith-demo", task, {
      count: 8,
      answers: "first",
      split: "discover",
    });
    expect(discover.items.every(({ split }) => split === "discover")).toBe(true);
  });
});

describe("all tasks of a model in one file", () => {
  it.each(bundledModels.map(({ name }) => name))("%s: no id is used twice", async (name) => {
    const built = await buildTaskItems(model(name), {
      tasks: taskNames(cardOf({ name })),
      answers: "first",
      count: 40,
    });
    const items = built.flatMap((task) => task.items);
    expect(read(name, items)).toHaveLength(items.length);
  });
});

describe("arith-demo", () => {
  it("has held-out and trained pairs, which do not meet", async () => {
    const idsOf = async (pairs: string) => {
      const { items } = await build("arith-demo", "mul", {
        pairs,
        count: 3000,
        styles: ["equation"],
      });
      return new Set(items.map((item) => item.id));
    };
    const [held, trained] = [await idsOf("held-out"), await idsOf("trained")];
    expect(held.size).toBe(42);
    for (const id of held) expect(trained.has(id)).toBe(false);
    expect(held).toContain("mul-equation-36-8");
  });

  it("has answers that are one number token behind a space of its own", async () => {
    const { items } = await build("arith-demo", "add");
    for (const item of items) {
      expect(item.prompt).toMatch(/ $/);
      expect(item.answer).toMatch(/^\d+$/);
    }
  });

  it("tells stories with names and things", async () => {
    const { items } = await build("arith-demo", "sub", { styles: ["story"] });
    const text = items.map((item) => item.prompt).join("\n");
    expect(text).toMatch(/\w+ has \d+ \w+ and gives away \d+\. Now \w+ has $/m);
    for (const item of items) {
      const names = /^(\w+) has .* Now (\w+) has $/.exec(item.prompt as string);
      if (names) expect(names[1]).toBe(names[2]);
    }
  });

  it("asks with other counterfactuals, and refuses those of other tasks", async () => {
    const { items } = await build("arith-demo", "add", { counterfactual: "null-operator" });
    expect(items.every((item) => item.counterfactual_answer === undefined)).toBe(true);
    const error = await failure(build("arith-demo", "add", { counterfactual: "flip-ones-carry" }));
    expect(error.message).toMatch(/"flip-ones-carry" does not exist for this task; it has null-op/);
  });

  it("swaps giver and receiver, and nothing else", async () => {
    const { items } = await build("arith-demo", "who-received");
    for (const item of items) {
      const [, one, two, giver] = /^When (\w+) and (\w+) went .*, (\w+) gave/.exec(
        item.prompt as string,
      ) as RegExpExecArray;
      const other = giver === one ? two : one;
      expect(item.answer?.trim()).toBe(other);
      expect(item.counterfactual_answer?.trim()).toBe(giver);
      expect(item.counterfactual).toBe(item.prompt?.replace(`, ${giver} gave`, `, ${other} gave`));
    }
  });
});

describe("stories260K", () => {
  it("has 200 prompts, all of which can be had", async () => {
    const { items, available, dropped } = await build("stories260K", "pronoun", { count: 1000 });
    expect(available).toBe(200);
    expect(items.length + dropped.length).toBe(200);
    expect(items.length).toBeGreaterThan(100);
    for (const { why } of dropped) expect(why).toMatch(/another number of tokens/);
    for (const item of items) {
      expect(item.answer?.trim()).toBe(item.prompt?.includes("girl") ? "She" : "He");
    }
  });
});

describe("another model", () => {
  const other: TaskModel = { name: "x", tokenizer: llama3Like, spec: { vocab: 2000, context: 64 } };

  it("has the four operations", async () => {
    expect(cardOf(other)).toBeUndefined();
    const built = await buildTaskItems(other, { tasks: ["add", "div"], count: 10 });
    expect(built.map(({ task, items }) => [task, items.length])).toEqual([
      ["add", 10],
      ["div", 10],
    ]);
  });

  it("asks every range of operands, and says which in group and id", async () => {
    const small = { min: 0, max: 9 };
    const large = { min: 100, max: 400 };
    const ask = (task: string, ...operands: { min: number; max: number }[]) =>
      buildTaskItems(other, { tasks: [task], operands, count: 30 });
    const built = [
      ...(await ask("add", small, large, { min: 0, max: 40 })),
      ...(await ask("div", small)),
    ];
    expect(built.map(({ task, items }) => `${task}: ${items.length}`)).toEqual(
      ["add 0-9", "add 100-400", "add 0-40", "div 0-9"].map((task) => `${task}: 30`),
    );
    for (const { task, items } of built) {
      const [operation, range = ""] = task.split(" ");
      const [min, max] = range.split("-").map(Number) as [number, number];
      for (const { prompt, group, id } of items) {
        expect(group).toBe(task);
        expect(id).toContain(`(${range})`);
        const [a = 0, b = 0] = prompt?.match(/\d+/g)?.map(Number) ?? [];
        for (const x of operation === "add" ? [a, b] : [Math.max(a, b) / Math.min(a, b)]) {
          expect(x, prompt).toBeGreaterThanOrEqual(min);
          expect(x, prompt).toBeLessThanOrEqual(max);
        }
      }
    }
    // Of a division these are divisor and quotient, whose product is no token.
    expect((await failure(ask("div", large))).message).toMatch(/operands in 100..400/);
    const words = await failure(ask("years", small));
    expect(words.message).toMatch(/ranges of operands are for add, sub, mul, div; the task years/);
  });

  it("takes templates from a file", async () => {
    const templates = templatesFromText("add equation: {a} [plus] {b} (equals)", "t");
    const [built] = await buildTaskItems(other, { templates, count: 5 });
    for (const item of built?.items ?? []) {
      expect(item.prompt).toMatch(/^\d+ plus \d+ equals $/);
    }
  });

  it("takes a bundled card, or none for a bundled model", async () => {
    const card = cardOf({ name: "arith-demo" });
    const [built] = await buildTaskItems(
      { ...other, tokenizer: llama3Like },
      { card: card ?? null },
    );
    expect(built?.items[0]?.template).toBeDefined();
    const error = await failure(
      buildTaskItems(model("mathgpt_add3_h4_l4"), { card: null, tasks: ["add"] }),
    );
    expect(error.message).toMatch(/no number is a single token .* cannot be asked of this model/);
  });

  it("says what it has, or that it cannot", async () => {
    const unknown = await failure(buildTaskItems(other, { tasks: ["W"] }));
    expect(unknown.code).toBe("BAD_ARGUMENT");
    expect(unknown.message).toMatch(/^no task "W" for x; it has add, sub, mul, div, multi-digit, /);
    const mathgpt = await failure(build("mathgpt_add3_h4_l4", "mul"));
    expect(mathgpt.message).toMatch(/no task "mul" for mathgpt_add3_h4_l4; it has W, W9, /);
    const blind = await failure(buildTaskItems({ ...other, tokenizer: undefined }));
    expect(blind.code).toBe("NO_TOKENIZER");
    const short = await failure(buildTaskItems({ ...other, spec: { vocab: 2000, context: 3 } }));
    expect(short.code).toBe("BAD_ITEMS");
    expect(short.message).toMatch(
      /^x cannot be asked add: no prompt can be used\n {2}".*context of 3/,
    );
    const letters = { ...other, tokenizer: fakeTokenizer([..."abc"]) };
    expect((await failure(buildTaskItems(letters))).code).toBe("BAD_ARGUMENT");
    const pairs = await failure(buildTaskItems(other, { pairs: "held-out" }));
    expect(pairs.message).toMatch(/what training saw is not known/);
  });
});
