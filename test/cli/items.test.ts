import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { failure, fixture, json, keyheads, scratch } from "./keyheads.ts";

const model = "mathgpt_add3_h4_l4";

test("lines go to stdout and can be read again", async () => {
  const { code, stdout, stderr } = await keyheads("items", model, "--count", "5", "--seed", "1");
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines).toHaveLength(5);
  for (const line of lines) expect(JSON.parse(line)).toHaveProperty("prompt_ids");
  expect(stderr).toMatch(/^W: 5 items of 90000 possible$/m);
  const file = join(scratch(), "items.jsonl");
  writeFileSync(file, stdout);
  const result = await json(["identify", model, "--items", file, "--draws", "10"]);
  expect(result).toMatchObject({ items: { used: 5, dropped: [] } });
});

test("--out writes a file, and not over another one", async () => {
  const file = join(scratch(), "items.jsonl");
  const args = ["items", "arith-demo", "--task", "add,mul", "--count", "4", "--out", file];
  expect(await json(args)).toMatchObject({
    model: "arith-demo",
    items: 8,
    tasks: [
      { task: "add", items: 4 },
      { task: "mul", items: 4 },
    ],
    out: file,
  });
  expect(readFileSync(file, "utf8").trimEnd().split("\n")).toHaveLength(8);
  expect(await failure(args, 2)).toContain(`${file} exists`);
});

test("the same seed gives the same lines, splits are disjoint", async () => {
  const lines = async (...args: readonly string[]) => {
    const { stdout } = await keyheads("items", model, "--count", "300", ...args);
    return stdout.trimEnd().split("\n");
  };
  expect(await lines("--seed", "7")).toEqual(await lines("--seed", "7"));
  const clusters = async (split: string) =>
    (await lines("--split", split)).map(
      (line) => (JSON.parse(line) as { cluster: string }).cluster,
    );
  const discover = new Set(await clusters("discover"));
  expect((await clusters("test")).filter((cluster) => discover.has(cluster))).toEqual([]);
});

test("ranges of operands are sets that transfer compares", async () => {
  const file = join(scratch(), "ranges.jsonl");
  const args = ["items", "arith", "--operands", "0-9,10-39", "--count", "24", "--out", file];
  expect(await json(args)).toMatchObject({
    tasks: [
      { task: "add 0-9", items: 24 },
      { task: "add 10-39", items: 24 },
    ],
  });
  const transfer = ["transfer", "arith", "--items", file, "--by", "group", "--random", "3"];
  const { sets } = await json([...transfer, "--top", "2"]);
  expect((sets as { name: string }[]).map(({ name }) => name)).toEqual(["add 0-9", "add 10-39"]);
  const ask = (range: string) => ["items", "arith", "--operands", range];
  expect(await failure(ask("9-0"), 2)).toMatch(/expected ranges from low to high .* got "9-0"/);
  expect(await failure(ask("500-999"), 2)).toMatch(/no add fact has operands in 500\.\.999/);
});

test("what cannot be asked is an error", async () => {
  expect(await failure(["items", "arith-demo", "--task", "sing"], 2)).toMatch(
    /no task "sing" for arith-demo; it has add, sub, mul, div, multi-digit, decimals, power, years, objects/,
  );
  expect(await failure(["items", "arith-demo", "--style", "poem"], 2)).toMatch(/got "poem"/);
  expect(await failure(["items", model, "--counterfactual", "operands"], 2)).toMatch(
    /the task W has flip-ones-carry/,
  );
  expect(await failure(["items", fixture("gpt2")], 1)).toMatch(/gpt2 has no tokenizer/);
  expect(await failure(["items", model, "--templates", "/no/such"], 2)).toMatch(/no.such/);
});

test("a data set in its own format becomes items that other commands read", async () => {
  const folder = scratch();
  const file = join(folder, "SVAMP.json");
  const stories = [3, 5, 8].map((n) => ({
    ...{ ID: `s${n}`, Body: `Tom has ${n} apples and 4 pears.`, Question: "How many are there?" },
    ...{ Equation: `( ${n}.0 + 4.0 )`, Answer: n + 4 },
  }));
  writeFileSync(file, JSON.stringify(stories));
  const out = join(folder, "items.jsonl");
  const args = ["items", "arith-demo", "--dataset", "svamp", "--from", file];
  expect(await json([...args, "--out", out])).toMatchObject({
    items: 3,
    tasks: [{ task: "svamp", items: 3, available: 3, dropped: [] }],
  });
  expect(await json(["eval", "arith-demo", "--items", out])).toMatchObject({ n: 3 });
  expect(await failure(["items", "arith-demo", "--dataset", "svamp"], 2)).toMatch(/--from FILE/);
  expect(await failure([...args, "--counterfactual", "digit"], 2)).toMatch(/one of its own/);
  expect(await failure([...args.slice(0, -1), out], 1)).toMatch(/not JSON/);
});
