import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { resolveModel } from "../../packages/keyheads/src/load/resolve-model.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { parseCsv } from "../../packages/keyheads/src/tasks/datasets/csv.ts";
import {
  type DatasetOptions,
  datasetItemsFrom,
} from "../../packages/keyheads/src/tasks/datasets/dataset-items.ts";
import { parseEquation, writeNumber } from "../../packages/keyheads/src/tasks/datasets/equation.ts";
import { findNumbers } from "../../packages/keyheads/src/tasks/datasets/problem.ts";
import { itemsFromRaw } from "../../packages/keyheads/src/tasks/items.ts";

const load = async (name: string) => Model.load(await resolveModel(name));

describe("equations", () => {
  it.each([
    ["( 76.0 - 25.0 )", [76, 25], ["-"], 51],
    ["X=((32.0+42.0)-35.0)", [32, 42, 35], ["+", "-"], 39],
    ["70-x=27", [70, 27], ["-"], 43],
    ["x/4 = 12", [4, 12], ["/"], 48],
    ["96/x=8", [96, 8], ["/"], 12],
    ["3*(2+4)/9", [3, 2, 4, 9], ["*", "+", "/"], 2],
    [".5*10", [0.5, 10], ["*"], 5],
    ["200*15%", [200, 15], ["*"], 30],
    ["7-2-1", [7, 2, 1], ["-"], 4],
  ])("%s", (text, numbers, operators, value) => {
    const equation = parseEquation(text);
    expect(equation?.numbers).toEqual(numbers);
    expect(equation?.operators).toEqual(operators);
    expect(equation?.solve(equation.numbers)).toBeCloseTo(value, 9);
  });

  it("can be asked of other numbers", () => {
    const equation = parseEquation("70-x=27");
    expect(equation?.solve([80, 30])).toBeCloseTo(50, 9);
  });

  it.each(["", "x + y = 3", "2 ^ 3", "x = x", "1 = 2 = 3", "3 +", "(3", "5 6"])(
    "%j is none",
    (text) => expect(parseEquation(text)).toBeUndefined(),
  );

  it("results are written as a solution writes them", () => {
    expect([51, 0.1 + 0.2, 3.5, 1 / 3, Number.NaN].map(writeNumber)).toEqual([
      ...["51", "0.3", "3.5", undefined, undefined],
    ]);
  });

  it("numbers are found where they stand, each place once", () => {
    const text = "It had 1,200 of 5, then 5.";
    expect(findNumbers(text, [5, 1200, 5, 7], "first")).toEqual([
      [16, 17],
      [7, 12],
      [24, 25],
      undefined,
    ]);
    expect(findNumbers("2 then 3 2 - 3", [2, 3], "last")).toEqual([
      [9, 10],
      [13, 14],
    ]);
  });
});

it("CSV has quotes, doubled quotes and commas", () => {
  expect(parseCsv('a,b\r\n"x, ""y""\nz",2\n\n3')).toEqual([{ a: 'x, "y"\nz', b: "2" }, { a: "3" }]);
});

// Excerpts of SVAMP, GSM8K and EAP-IG (all MIT), and entries of our own in the form of MAWPS.
const svamp = JSON.stringify([
  {
    ID: "chal-1",
    Body: "Each pack of dvds costs 76 dollars. If there is a discount of 25 dollars on each pack",
    Question: "How much do you have to pay to buy each pack?",
    Equation: "( 76.0 - 25.0 )",
    Answer: 51.0,
    Type: "Subtraction",
  },
  { ID: "broken", Body: "no question" },
]);
const mawps = JSON.stringify([
  {
    iIndex: 4,
    lEquations: ["x+14=39"],
    lSolutions: [25.0],
    sQuestion: "A shelf held some jars . Now it holds 14 more , in all 39 . How many were there ? ",
  },
]);
const gsm8k = JSON.stringify({
  question:
    "A robe takes 2 bolts of blue fiber and half that much white fiber.  How many bolts in total does it take?",
  answer:
    "It takes 2/2=<<2/2=1>>1 bolt of white fiber\nSo the total amount of fabric is 2+1=<<2+1=3>>3 bolts of fabric\n#### 3",
});
const ioi =
  ",clean,corrupted,corrupted_hard,correct_idx,incorrect_idx\n" +
  '470,"Then, Aaron and Amber were working at the house. Aaron decided to give a drink to","Then, Aaron and Amber were working at the house. Tiffany decided to give a drink to","Then, Aaron and Amber were working at the house. Amber decided to give a drink to",47764,26757\n';
const greaterThan =
  "clean,corrupted,label\nThe contract lasted from the year 1352 to the year 13,The contract lasted from the year 1301 to the year 13,52\n";

describe("data sets as items", () => {
  const loading = load("stories260K");
  const numbers = load("arith-demo");
  afterAll(async () => {
    (await loading).dispose();
    (await numbers).dispose();
  });
  const build = async (text: string, options: DatasetOptions) =>
    datasetItemsFrom(await numbers, text, options);

  it("a word problem: operands by role, another number as counterfactual", async () => {
    const { items, dropped, available } = await build(svamp, { dataset: "svamp" });
    expect(available).toBe(1);
    expect(dropped).toEqual([
      { candidate: "entry 2", why: expect.stringMatching(/no problem with Body/) },
    ]);
    const [line] = items;
    expect(line).toMatchObject({
      id: "svamp-chal-1",
      group: "sub",
      cluster: "25,51,76",
      prompt: expect.stringMatching(/on each pack, how much .*\?\nA: The answer is $/),
      answer: "51",
    });
    const roles = line?.roles as Record<string, [number, number]>;
    const shown = Object.entries(roles).map(([role, [from, to]]) => [
      role,
      line?.prompt?.slice(from, to),
    ]);
    expect(shown).toEqual([
      ["operand1", "76"],
      ["operand2", "25"],
    ]);
    // X_c differs in one number, and C' is what follows from it.
    const found = [...(line?.counterfactual ?? "").matchAll(/\d+/g)].map(([digits]) =>
      Number(digits),
    );
    expect(found.filter((n, i) => n !== [76, 25][i])).toHaveLength(1);
    expect(Number(line?.counterfactual_answer)).toBe((found[0] as number) - (found[1] as number));
  });

  it("MAWPS: an unknown on either side", async () => {
    const format = "Question: {question} Answer:";
    const { items } = await build(mawps, { dataset: "singleeq", format });
    expect(items[0]).toMatchObject({ answer: "25", group: "add", cluster: "14,25,39" });
    expect(items[0]?.prompt).toBe(
      "Question: A shelf held some jars. Now it holds 14 more, in all 39. How many were there? Answer: ",
    );
  });

  it("GSM8K: a site a mark, with the gold solution before it", async () => {
    const { items } = await build(gsm8k, { dataset: "gsm8k" });
    expect(items.map(({ id, answer, group }) => [id, answer, group])).toEqual([
      ["gsm8k-1-1", "1", "div"],
      ["gsm8k-1-2", "3", "add"],
    ]);
    expect(items[1]?.prompt).toMatch(
      /\?\nA: It takes 2\/2=1 bolt of white fiber\nSo the total amount of fabric is 2\+1=$/,
    );
    expect(items[1]?.counterfactual).toMatch(/fabric is (2\+\d|\d\+1)=$/);
    const marked = await build(gsm8k, { dataset: "gsm8k", marks: "calculator" });
    expect(marked.items[1]?.prompt).toMatch(/2\/2=<<2\/2=1>>1 bolt(.|\n)*2\+1=<<2\+1=$/);
  });

  it("IOI: the name that occurs once, against the one that occurs twice", async () => {
    const model = await loading;
    const options = { dataset: "ioi", answers: "first" } as const;
    const { items } = datasetItemsFrom(model, ioi, options);
    const [line] = items;
    expect(line?.answer?.trim()).toBe("Amber");
    const roles = line?.roles as Record<string, [number, number]>;
    const at = (role: string) => line?.prompt?.slice(...(roles[role] as [number, number]));
    expect([at("indirect_object"), at("subject1"), at("subject2")]).toEqual([
      "Amber",
      "Aaron",
      "Aaron",
    ]);
    expect(roles.subject2?.[0]).toBeGreaterThan(roles.subject1?.[0] as number);
    // One token each is too much for this vocabulary; that is said, not hidden.
    const single = datasetItemsFrom(model, ioi, { dataset: "ioi" });
    expect(single.items).toEqual([]);
    expect(single.dropped[0]?.why).toMatch(/the answer is \d tokens/);
  });

  it("IOI from templates: both orders, three names", async () => {
    const text = JSON.stringify({
      data: {
        NAMES: ["Tom", "Lily", "Ben", "Mia"],
        PLACES: ["park", "house"],
        OBJECTS: ["ball", "cake"],
        BABA_TEMPLATES: ["Then, [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to [A]"],
      },
    });
    const model = await loading;
    const options = { dataset: "ioi", count: 12, answers: "first" } as const;
    const { items } = datasetItemsFrom(model, text, { ...options, counterfactual: "other-name" });
    expect(items).toHaveLength(12);
    expect(new Set(items.map(({ template }) => template))).toEqual(new Set(["BABA-0", "ABBA-0"]));
    for (const { prompt = "", answer = "", template } of items) {
      const [, first, second, third] =
        /^Then, (\w+) and (\w+) .*\. (\w+) gave a \w+ to ?$/.exec(prompt) ?? [];
      expect(third, prompt).toBe(template === "BABA-0" ? first : second);
      expect(answer.trim(), prompt).toBe(template === "BABA-0" ? second : first);
    }
  });

  it("greater-than: a year after, against a year before", async () => {
    const model = await loading;
    const { items } = datasetItemsFrom(model, greaterThan, {
      dataset: "greater-than",
      answers: "first",
    });
    expect(items[0]).toMatchObject({
      answer: "76",
      counterfactual_answer: "27",
      cluster: "contract",
    });
    const glued = await build(greaterThan, { dataset: "greater-than" });
    expect(glued.dropped[0]?.why).toMatch(/joins|prefix|token/i);
  });

  it("what is not of the data set is an error", async () => {
    await expect(build("{}", { dataset: "svamp" })).rejects.toThrow(/expected a JSON list/);
    await expect(build("[", { dataset: "addsub" })).rejects.toThrow(/not JSON/);
    await expect(build(svamp, { dataset: "svamp", format: "Q" })).rejects.toThrow(
      /no \{question\}/,
    );
    const { dropped } = await build("nonsense\n", { dataset: "gsm8k" });
    expect(dropped[0]?.why).toMatch(/not JSON/);
  });
});

const data = fileURLToPath(new URL("../../../shared/data", import.meta.url));
const files = {
  svamp: ["math/svamp/SVAMP.json", 990],
  addsub: ["math/llm_adapters/AddSub/AddSub.json", 350],
  singleeq: ["math/llm_adapters/SingleEq/SingleEq.json", 450],
  multiarith: ["math/llm_adapters/MultiArith/MultiArith.json", 590],
  gsm8k: ["math/gsm8k/test.jsonl", 4000],
  ioi: ["control/circuits/ioi_llama.csv", 490],
  "greater-than": ["control/circuits/greater_than_data.csv", 900],
} as const;
const missing = !existsSync(join(data, files.svamp[0]));

describe.skipIf(missing)("whole data sets (needs ../shared)", () => {
  it.each(Object.keys(files) as (keyof typeof files)[])("%s", async (dataset) => {
    using model = await load("stories260K");
    const [file, least] = files[dataset];
    const text = readFileSync(join(data, file), "utf8");
    const { items, available } = datasetItemsFrom(model, text, { dataset, answers: "first" });
    expect(items.length).toBeGreaterThan(0.8 * least);
    expect(available).toBeGreaterThan(least);
    // What is written can be read again.
    const { dropped } = itemsFromRaw(items, model.tokenizer, { ...model.spec, single: true });
    expect(dropped).toEqual([]);
  });
});
