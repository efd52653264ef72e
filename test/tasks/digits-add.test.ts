import { beforeAll, describe, expect, it } from "vitest";
import {
  answerDigit,
  counterfactualPair,
} from "../../packages/keyheads/src/tasks/digit-counterfactuals.ts";
import {
  classPairs,
  digitOf,
  firstOf,
  inClass,
  pairCluster,
  samplePairs,
  secondOf,
} from "../../packages/keyheads/src/tasks/digit-pairs.ts";
import { DigitsAdd } from "../../packages/keyheads/src/tasks/digits-add.ts";
import { itemsFromRaw } from "../../packages/keyheads/src/tasks/items.ts";
import { toRaw } from "../../packages/keyheads/src/tasks/write-items.ts";
import { loadTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";
import type { Tokenizer } from "../../packages/keyheads/src/tokenizer/types.ts";
import { bundledModels, type DigitQuestion } from "../../packages/models/src/index.ts";
import { fakeTokenizer, llama3Like } from "./fake-tokenizer.ts";

const model = bundledModels[0] as (typeof bundledModels)[number];
const { card } = model;
let tokenizer: Tokenizer;
let digits: DigitsAdd;
beforeAll(async () => {
  tokenizer = (await loadTokenizer(model.folder)) as Tokenizer;
  digits = new DigitsAdd(card, tokenizer, { seed: 5 });
});

const columns = (pair: number, column: number) =>
  [digitOf(firstOf(pair), column), digitOf(secondOf(pair), column)] as const;
const columnSum = (pair: number, column: number) => {
  const [a, b] = columns(pair, column);
  return a + b;
};

describe("classes", () => {
  it.each(card.digits?.classes ?? [])("$name has $pairs pairs", (entry) => {
    const pairs = classPairs(entry);
    expect(pairs.length).toBe(entry.pairs);
    const every = pairs.every((pair, i) => i === 0 || (pairs[i - 1] as number) < pair);
    expect(every).toBe(true);
    for (let i = 0; i < pairs.length; i += 997) {
      const pair = pairs[i] as number;
      expect(inClass(pair, entry)).toBe(true);
      if (entry.tens) expect(columnSum(pair, 1) === 9).toBe(entry.tens === "nine");
      if (entry.hundreds) expect(columnSum(pair, 2) === 9).toBe(entry.hundreds === "nine");
    }
  });

  it("four of them are the whole population, without overlap", () => {
    const seen = new Uint8Array(1_000_000);
    for (const name of ["W", "W9", "hundreds9", "others"]) {
      for (const pair of digits.pairs(name)) seen[pair] = (seen[pair] as number) + 1;
    }
    expect(seen.every((n) => n === 1)).toBe(true);
  });

  it("names what there is where a name is wrong", () => {
    expect(() => digits.question("w")).toThrow(/no question "w"; this model has W, W9, same-end/);
    expect(() => digits.pairs("V")).toThrow(/no class "V"; this model has W, /);
  });
});

describe("splits", () => {
  it("are disjoint, complete and hold both orders of a pair", () => {
    const parts = (["discover", "dev", "test"] as const).map((split) => digits.pairs("W", split));
    expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(90_000);
    const clusters = parts.map((part) => new Set(Array.from(part, pairCluster)));
    const all = new Set(clusters.flatMap((set) => [...set]));
    expect(all.size).toBe(clusters.reduce((sum, set) => sum + set.size, 0));
    expect(all.size).toBe(500);
    for (const pair of digits.pairs("W").filter((_, i) => i % 101 === 0)) {
      const swapped = secondOf(pair) * 1000 + firstOf(pair);
      expect(digits.splits.of(swapped)).toBe(digits.splits.of(pair));
    }
  });

  it("have 50, 20 and 30 % of all pairs", () => {
    const shares = (["discover", "dev", "test"] as const).map(
      (split) => digits.pairs("all", split).length / 1e6,
    );
    // 5,050 clusters: the standard deviation of a share is 0.7 points.
    for (const [i, share] of [0.5, 0.2, 0.3].entries()) {
      expect(Math.abs((shares[i] as number) - share)).toBeLessThan(0.025);
    }
  });

  it("depend on the seed and on nothing else", () => {
    const again = new DigitsAdd(card, tokenizer, { seed: 5 });
    expect(again.pairs("W", "test")).toEqual(digits.pairs("W", "test"));
    const other = new DigitsAdd(card, tokenizer, { seed: 6 });
    expect(other.pairs("W", "test")).not.toEqual(digits.pairs("W", "test"));
  });
});

describe("samples", () => {
  it("are uniform, without repeats, and repeatable", () => {
    const pairs = digits.sample("W", 2000);
    expect(new Set(pairs).size).toBe(2000);
    expect(digits.sample("W", 2000)).toEqual(pairs);
    const mean = pairs.reduce((sum, pair) => sum + firstOf(pair), 0) / 2000;
    // Uniform over 0..999: standard error 6.5.
    expect(Math.abs(mean - 499.5)).toBeLessThan(26);
    expect(Array.from(samplePairs(Int32Array.of(3, 1, 2), 3, 0)).sort()).toEqual([1, 2, 3]);
    expect(() => digits.sample("W9", 10_001)).toThrow(/cannot draw 10001 .*there are 10000/);
  });
});

describe("items of W", () => {
  it("spell one pair as a person would", () => {
    // 123 + 476: tens 2 + 7 = 9, ones 3 + 6 = 9 without a carry; 599.
    const item = digits.itemOf(123_476, digits.question("W"));
    expect(item).toMatchObject({
      id: "W/123+476",
      prompt: "123476",
      answer: "0599",
      promptIds: [1, 2, 3, 4, 7, 6],
      answerIds: [0, 5, 9, 9],
      target: 1,
      reference: [1, 2, 3, 4, 7, 6, 0],
      answerId: 5,
      counterfactualAnswerId: 6,
      cluster: "23+76",
    });
    expect(item.counterfactual?.slice(0, 2)).toEqual([1, 2]);
    expect(item.counterfactual?.[6]).toBe(0);
    expect(item.roles).toEqual({
      same_column_a: [0, 1],
      same_column_b: [3, 4],
      propagating_a: [1, 2],
      propagating_b: [4, 5],
      carry_source_a: [2, 3],
      carry_source_b: [5, 6],
      forced_digit: [6, 7],
    });
  });

  it("differ from their X_c in the ones digits alone, and these flip the carry", () => {
    const question = digits.question("W");
    for (const item of digits.items(digits.sample("W", 1000), question)) {
      const other = item.counterfactual as number[];
      expect(other).toHaveLength(7);
      const changed = other.flatMap((id, i) => (id === item.reference[i] ? [] : [i]));
      expect(changed.length).toBeGreaterThan(0);
      expect(changed.every((i) => i === 2 || i === 5)).toBe(true);
      const carry = (ids: number[]) => (ids[2] as number) + (ids[5] as number) >= 10;
      expect(carry(other)).toBe(!carry(item.reference));
      const step = carry(other) ? 1 : 9;
      expect(item.counterfactualAnswerId).toBe((item.answerId + step) % 10);
    }
  });

  it("draw the new ones digits uniformly", () => {
    const counts = new Map<string, number>();
    const pairs = digits.pairs("W").filter((pair) => columnSum(pair, 0) < 10);
    for (const pair of pairs) {
      const other = counterfactualPair(pair, "flip-ones-carry", 1, 5, pairs);
      const key = columns(other, 0).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(45);
    // 1,100 each: five standard deviations are 15 %.
    const expected = pairs.length / 45;
    for (const count of counts.values()) {
      expect(Math.abs(count - expected) / expected).toBeLessThan(5 / Math.sqrt(expected));
    }
  });

  it("are the same alone and in any company", () => {
    const question = digits.question("W");
    const pairs = digits.sample("W", 50);
    const together = digits.items(pairs, question);
    const alone = Array.from(pairs, (pair) => digits.itemOf(pair, question));
    expect(together).toEqual(alone);
  });
});

describe("other questions", () => {
  const properties: Record<string, (item: number, other: number) => boolean> = {
    W9: (pair, other) =>
      columnSum(pair, 0) >= 10 !== columnSum(other, 0) >= 10 &&
      columns(pair, 1).join() === columns(other, 1).join() &&
      columns(pair, 2).join() === columns(other, 2).join(),
    "same-end": (pair, other) =>
      columnSum(pair, 1) >= 10 !== columnSum(other, 1) >= 10 &&
      columnSum(other, 1) !== 9 &&
      columns(pair, 0).join() === columns(other, 0).join(),
    "tens-digit": (pair, other) => columnSum(pair, 0) >= 10 !== columnSum(other, 0) >= 10,
    "ones-digit": (pair, other) =>
      columnSum(pair, 0) >= 10 === columnSum(other, 0) >= 10 &&
      columnSum(pair, 0) !== columnSum(other, 0),
    add: (pair, other) => pair !== other,
  };
  it.each(card.digits?.questions.map(({ name }) => name).filter((n) => n !== "W") ?? [])(
    "%s: X_c has another answer digit behind the same kind of prompt",
    (name) => {
      const question = digits.question(name) as DigitQuestion;
      const end = 6 + question.digit;
      for (const item of digits.items(digits.sample(question.class, 200), question)) {
        const other = item.counterfactual as number[];
        const pairOf = (ids: number[]) => Number(ids.slice(0, 6).join(""));
        const [pair, otherPair] = [pairOf(item.reference), pairOf(other)];
        expect(item.reference).toHaveLength(end);
        expect(other).toHaveLength(end);
        expect(item.answerId).toBe(answerDigit(pair, question.digit));
        expect(item.counterfactualAnswerId).toBe(answerDigit(otherPair, question.digit));
        expect(item.counterfactualAnswerId).not.toBe(item.answerId);
        for (let k = 0; k < question.digit; ++k) {
          expect(item.reference[6 + k]).toBe(answerDigit(pair, k));
          expect(other[6 + k]).toBe(answerDigit(otherPair, k));
        }
        expect(properties[name]?.(pair, otherPair)).toBe(true);
        expect(item.answerIds).toHaveLength(question.scored === "answer" ? 4 : 1);
      }
    },
  );

  it("minimal counterfactuals leave the forced digits of the carry questions as they are", () => {
    for (const name of ["W", "W9", "same-end", "tens-digit", "ones-digit"]) {
      const question = digits.question(name);
      for (const item of digits.items(digits.sample(question.class, 100), question)) {
        expect(item.counterfactual?.slice(6)).toEqual(item.reference.slice(6));
      }
    }
  });

  it("another prompt comes from the given set", () => {
    const pairs = digits.sample("W", 300, "discover");
    const allowed = new Set(pairs);
    const options = { counterfactual: "other-prompt" } as const;
    for (const item of digits.items(pairs, digits.question("W"), options)) {
      expect(allowed.has(Number(item.counterfactual?.slice(0, 6).join("")))).toBe(true);
    }
    const one = Int32Array.of(123_476);
    expect(() => digits.items(one, digits.question("W"), options)).toThrow(/take more items/);
  });

  it("refuses a flip that the column cannot make", () => {
    const options = { counterfactual: "flip-tens-carry" } as const;
    expect(() => digits.itemOf(123_476, digits.question("W"), options)).toThrow(/sum to 9/);
  });
});

describe("form", () => {
  it("is read back from an items file as it was, with and without the tokenizer", () => {
    for (const { name } of card.digits?.questions ?? []) {
      const question = digits.question(name);
      const items = digits.items(digits.sample(question.class, 20), question);
      for (const reader of [undefined, tokenizer]) {
        const limits = { single: true, vocab: 10, context: 9 };
        const set = itemsFromRaw(items.map(toRaw), reader, limits);
        expect(set.dropped).toEqual([]);
        expect(set.items).toEqual(items.map((item, i) => ({ ...item, line: i + 1 })));
      }
      for (const item of items) {
        expect(tokenizer.encode(`${item.prompt}${item.answer}`)).toEqual([
          ...item.promptIds,
          ...item.answerIds,
        ]);
      }
    }
  });

  it("packs whole classes without an object an item", () => {
    const pairs = digits.pairs("W9");
    const { tokens, offsets, answers } = digits.batch(pairs);
    expect(tokens.length).toBe(90_000);
    expect(offsets[10_000]).toBe(90_000);
    for (let i = 0; i < pairs.length; i += 333) {
      const item = digits.itemOf(pairs[i] as number, digits.question("W9"));
      expect(Array.from(tokens.slice(i * 9, i * 9 + 9))).toEqual(
        [...item.promptIds, ...item.answerIds].slice(0, 9),
      );
      expect(Array.from(answers.slice(i * 4, i * 4 + 4))).toEqual(item.answerIds);
    }
  });

  it("needs one token a digit", () => {
    expect(() => new DigitsAdd(card, llama3Like)).toThrow(/need one token a digit/);
    expect(() => new DigitsAdd(card, fakeTokenizer([..."0123456789", "01"]))).toThrow(/spells/);
    const swapped = fakeTokenizer([..."x9876543210"]);
    const item = new DigitsAdd(card, swapped).itemOf(123_476, digits.question("W"));
    expect(item.promptIds).toEqual(swapped.encode("123476"));
    expect(item.answerIds).toEqual(swapped.encode("0599"));
  });

  it("does not exist for a model whose card has no digits", () => {
    const other = bundledModels.find(({ name }) => name === "stories260K");
    expect(() => new DigitsAdd(other?.card as typeof card, tokenizer)).toThrow(/no sums of digits/);
  });
});
