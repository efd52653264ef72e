import { describe, expect, it } from "vitest";
import {
  type ArithmeticOptions,
  arithmeticItems,
} from "../../packages/keyheads/src/tasks/arithmetic.ts";
import {
  enumerateFacts,
  limitsOf,
  result,
  unpack,
} from "../../packages/keyheads/src/tasks/facts.ts";
import { fitNumbers } from "../../packages/keyheads/src/tasks/fit.ts";
import { itemsFromRaw, type RawItem } from "../../packages/keyheads/src/tasks/items.ts";
import { operations, templatesFromText } from "../../packages/keyheads/src/tasks/templates.ts";
import type { Tokenizer } from "../../packages/keyheads/src/tokenizer/types.ts";
import { fakeTokenizer, gpt2Like, llama2Like, llama3Like } from "./fake-tokenizer.ts";

const make = (options: Partial<ArithmeticOptions>) =>
  arithmeticItems({ tokenizer: llama3Like, operation: "add", count: 60, seed: 3, ...options });

const read = (items: readonly RawItem[], tokenizer: Tokenizer) => {
  const set = itemsFromRaw(items, tokenizer, { single: true, vocab: 1e6, context: 200 });
  expect(set.dropped).toEqual([]);
  return set.items;
};
const numbers = (item: RawItem) => {
  const [a, b, c] = (item.id as string)
    .split("-")
    .slice(-2)
    .map(Number)
    .concat(Number(item.answer));
  return { a: a as number, b: b as number, c: c as number };
};

describe("fitting numbers to a tokenizer", () => {
  it("sees digits, all of 0..999, and an irregular set", () => {
    const two = fitNumbers(llama2Like);
    expect(two).toMatchObject({ layout: "separate", upTo: 9, digitwise: true, negatives: false });
    expect(limitsOf(two)).toMatchObject({ min: 1, max: 9, largest: 9 });
    const three = fitNumbers(llama3Like);
    expect(three).toMatchObject({ layout: "separate", upTo: 999, digitwise: false });
    expect(three.singles.size).toBe(1000);
    expect(limitsOf(three)).toEqual({ min: 0, max: 999, largest: 999, smallestFactor: 2 });
    const gpt2 = fitNumbers(gpt2Like);
    expect(gpt2).toMatchObject({ layout: "glued", upTo: 104, digitwise: false });
    expect(gpt2.singles.has(106)).toBe(true);
    expect(gpt2.singles.has(105)).toBe(false);
  });

  it("sees tokens of negative numbers", () => {
    const tokenizer = fakeTokenizer([..."0123456789+= ", "-1", "-2", "-3"]);
    expect(fitNumbers(tokenizer).negatives).toBe(true);
    expect(fitNumbers(tokenizer).singles.has(-3)).toBe(true);
    expect(fitNumbers(tokenizer).singles.has(-4)).toBe(false);
  });

  it("takes numbers bare where the tokenizer drops spaces", () => {
    const inner = fakeTokenizer([..."0123456789+=-*/"]);
    const strip = (text: string) => text.replaceAll(" ", "");
    const dropping = { ...inner, encode: (text: string) => inner.encode(strip(text)) };
    expect(fitNumbers(dropping).layout).toBe("bare");
  });

  it("says so where there are no numbers", () => {
    expect(() => fitNumbers(fakeTokenizer([..."abc"]))).toThrow(/no number is a single token/);
  });
});

describe("facts", () => {
  const fit = fitNumbers(llama3Like);

  it("divide exactly, never by zero, and do not go below zero", () => {
    for (const operation of operations) {
      const facts = enumerateFacts(operation, { min: 0, max: 30, largest: 999 }, fit);
      expect(new Set(facts).size).toBe(facts.length);
      for (const packed of facts) {
        const { a, b, c } = unpack(operation, packed);
        expect(Number.isInteger(c) && c >= 0).toBe(true);
        if (operation === "div") expect(c * b === a && b > 0).toBe(true);
        if (operation === "sub") expect(a).toBeGreaterThanOrEqual(b);
      }
    }
    expect(enumerateFacts("add", { min: 0, max: 30, largest: 999 }, fit)).toHaveLength(31 * 31);
    expect(enumerateFacts("div", { min: 0, max: 30, largest: 999 }, fit)).toHaveLength(30 * 31);
    expect(result("div", 7, 2)).toBeUndefined();
    expect(result("div", 7, 0)).toBeUndefined();
  });

  it("leave out what is no calculation, unless one-digit answers leave nothing else", () => {
    for (const operation of ["mul", "div"] as const) {
      for (const packed of enumerateFacts(operation, limitsOf(fit), fit)) {
        const { a, b, c } = unpack(operation, packed);
        expect(Math.min(b, operation === "mul" ? a : c)).toBeGreaterThanOrEqual(2);
      }
    }
    const digits = fitNumbers(llama2Like);
    expect(enumerateFacts("mul", limitsOf(digits), digits)).toHaveLength(23);
  });

  it("keep the smaller factor and the largest number", () => {
    const limits = { min: 0, max: 39, largest: 399, smallerFactor: 12 };
    for (const packed of enumerateFacts("mul", limits, fit)) {
      const { a, b, c } = unpack("mul", packed);
      expect(Math.min(a, b) <= 12 && c <= 399).toBe(true);
    }
    for (const packed of enumerateFacts("div", limits, fit)) {
      const { a, b, c } = unpack("div", packed);
      expect(Math.min(b, c) <= 12 && a <= 399).toBe(true);
    }
  });
});

describe.each([
  ["LLaMA-2 like", llama2Like],
  ["Llama-3 like", llama3Like],
  ["GPT-2 like", gpt2Like],
] as const)("items for a %s tokenizer", (_, tokenizer) => {
  it.each(operations)("%s: right answers of one token, checked like any file", (operation) => {
    const { items } = make({ tokenizer, operation, count: 80 });
    expect(items.length).toBe(80);
    expect(new Set(items.map((item) => item.prompt)).size).toBe(80);
    for (const item of items) {
      const { a, b, c } = numbers(item);
      expect(result(operation, a, b)).toBe(c);
      expect(item.prompt).toContain(String(a));
    }
    for (const item of read(items, tokenizer)) {
      expect(item.answerIds).toHaveLength(1);
      expect(Object.keys(item.roles)).toEqual(
        expect.arrayContaining(["operand1", "operator", "operand2", "equals"]),
      );
    }
  });
});

describe("sampling", () => {
  it("is repeatable, changes with the seed, and spreads over templates", () => {
    expect(make({}).items).toEqual(make({}).items);
    expect(make({ seed: 4 }).items).not.toEqual(make({}).items);
    const templates = make({ count: 300 }).items.map((item) => item.template);
    const counts = new Map<unknown, number>();
    for (const template of templates) counts.set(template, (counts.get(template) ?? 0) + 1);
    expect(counts.size).toBe(15);
    expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(18);
  });

  it("comes back with fewer where there are no more, each once", () => {
    const { items, available } = make({ limits: { max: 2 }, count: 5000 });
    expect(available).toBe(9 * 15);
    expect(items.length).toBe(9 * 15);
    expect(new Set(items.map((item) => item.id)).size).toBe(items.length);
  });

  it("chooses styles, facts and splits", () => {
    const styles = make({ styles: ["question"] }).items.map((item) => item.template);
    expect(styles.every((name) => String(name).startsWith("q-"))).toBe(true);
    const only = make({ only: (a, b) => a === 7 && b === 8, counterfactual: "null-operator" });
    expect(new Set(only.items.map((item) => item.cluster))).toEqual(new Set(["7,8,15"]));
    const test = make({ split: "test" });
    expect(new Set(test.items.map((item) => item.split))).toEqual(new Set(["test"]));
  });

  it("keeps every fact, in any order and operation, in one split", () => {
    const splits = new Map<unknown, unknown>();
    for (const operation of ["add", "sub"] as const) {
      for (const item of make({ operation, limits: { max: 12 }, count: 3000 }).items) {
        const { a, b, c } = numbers(item);
        expect(item.cluster).toBe([a, b, c].sort((x, y) => x - y).join(","));
        expect(splits.get(item.cluster) ?? item.split).toBe(item.split);
        splits.set(item.cluster, item.split);
      }
    }
    expect(new Set(splits.values()).size).toBe(3);
  });

  it("says what is wrong where there is nothing to ask", () => {
    expect(() => make({ limits: { min: 500, max: 10 } })).toThrow(/no add fact has operands in/);
    expect(() => make({ styles: ["story"] })).toThrow(/no template for add in the styles story/);
  });

  it("says why candidates were dropped", () => {
    const templates = templatesFromText("add statement: {a} and {b} make", "t");
    const none = make({ templates, limits: { max: 3 } });
    expect(none.items).toEqual([]);
    expect(none.dropped).toHaveLength(16);
    expect(none.dropped[0]?.why).toMatch(/has no operator words that could be replaced/);
    const short = make({ context: 9, limits: { max: 3 }, count: 1000 });
    expect(short.dropped.some(({ why }) => why.includes("the model's context of 9"))).toBe(true);
  });
});

describe("counterfactuals", () => {
  const kinds = ["operands", "operator", "digit", "prompt"] as const;
  it.each(kinds)("%s: another answer, one token, of the same split where it has one", (kind) => {
    for (const operation of operations) {
      const { items } = make({ operation, counterfactual: kind, limits: { max: 40 } });
      expect(items.length).toBeGreaterThan(30);
      for (const item of read(items, llama3Like)) {
        expect(item.counterfactual).toBeDefined();
        expect(item.counterfactualAnswerId).toBeDefined();
        expect(item.counterfactualAnswerId).not.toBe(item.answerId);
      }
    }
  });

  const values = (text: string | undefined) => (text ?? "").match(/\d+/g)?.map(Number) ?? [];

  it("null-operator keeps operands and wording and has no answer", () => {
    for (const item of make({}).items) {
      const { operator: span } = item.roles as Record<string, [number, number]>;
      const [start, stop] = span as [number, number];
      const operator = item.prompt?.slice(start, stop) as string;
      const word = /\w/.test(operator) ? "(nothing|none)" : "[<@]";
      const before = literal(item.prompt?.slice(0, start) as string);
      const after = literal(item.prompt?.slice(stop) as string);
      expect(item.counterfactual).toMatch(new RegExp(`^${before}${word}${after}$`));
      expect(item.counterfactual_answer).toBeUndefined();
    }
    const words = make({ count: 200 }).items.map((item) => item.counterfactual ?? "");
    for (const word of ["nothing", "none", "<", "@"]) {
      expect(words.some((text) => text.includes(word))).toBe(true);
    }
  });

  it("operands changes both and keeps the wording and the length", () => {
    for (const item of make({ counterfactual: "operands", limits: { max: 99 } }).items) {
      const [mine, other] = [values(item.prompt), values(item.counterfactual)];
      expect(other[0] !== mine[0] && other[1] !== mine[1]).toBe(true);
      expect(item.counterfactual?.replace(/\d+/g, "#")).toBe(item.prompt?.replace(/\d+/g, "#"));
      expect(Number(item.counterfactual_answer)).toBe((other[0] as number) + (other[1] as number));
    }
  });

  it("operator keeps the operands under another operation's words", () => {
    const seen = new Set<string>();
    for (const item of make({
      counterfactual: "operator",
      styles: ["equation"],
      limits: { max: 20 },
    }).items) {
      expect(values(item.counterfactual)).toEqual(values(item.prompt));
      const [a, b] = values(item.prompt) as [number, number];
      const answer = Number(item.counterfactual_answer);
      const operation = operations.find(
        (op) => op !== "add" && result(op, a, b) === answer,
      ) as string;
      expect(operation).toBeDefined();
      seen.add(operation);
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  it("digit changes one digit of one operand", () => {
    for (const item of make({ counterfactual: "digit", limits: { max: 99 } }).items) {
      const mine = item.prompt as string;
      const other = item.counterfactual as string;
      expect(other.length).toBe(mine.length);
      const changed = Array.from(mine).filter((character, i) => character !== other[i]);
      expect(changed).toHaveLength(1);
      expect(changed[0]).toMatch(/\d/);
    }
  });

  it("prompt may change the wording too", () => {
    const items = make({ counterfactual: "prompt" }).items;
    const wording = (text: string | undefined) => text?.replace(/\d+/g, "#");
    expect(items.some((item) => wording(item.prompt) !== wording(item.counterfactual))).toBe(true);
  });

  it("drops a fact whose answer every other operation shares or cannot give", () => {
    // With one-digit answers 9 + 8 and 9 * 8 are too large, and 9 / 8 is no whole number.
    const { dropped } = make({
      tokenizer: llama2Like,
      operation: "sub",
      counterfactual: "operator",
      only: (a, b) => a === 9 && b === 8,
    });
    expect(dropped[0]?.why).toMatch(/no other operation has another one-token answer for 9 and 8/);
  });
});

const literal = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
