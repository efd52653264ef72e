// What a model is trained on: nothing that is held out, and the same every time.
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { readPretrainConfig } from "../../packages/keyheads/src/pretraining/config.ts";
import {
  type Document,
  textOf,
} from "../../packages/keyheads/src/pretraining/documents/document.ts";
import { heldOutCluster } from "../../packages/keyheads/src/pretraining/documents/words.ts";
import { makeTokenizer } from "../../packages/keyheads/src/pretraining/make-tokenizer.ts";
import {
  Mixture,
  type MixtureOptions,
  sourcesOf,
} from "../../packages/keyheads/src/pretraining/mixture.ts";
import { cardOf } from "../../packages/keyheads/src/pretraining/pretrain.ts";
import { bookOf, readTexts } from "../../packages/keyheads/src/pretraining/texts.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { type Operation, textFile } from "../../packages/models/src/index.ts";

const card = cardOf("arith");
const quarter = { add: 0.25, sub: 0.25, mul: 0.25, div: 0.25 };
const sources = sourcesOf(card, quarter);
const draw = (source: (random: ReturnType<typeof rng>) => Document, count: number) => {
  const random = rng(3);
  return Array.from({ length: count }, () => source(random));
};
const heldOut = card.arithmetic.heldOut;
const pairs = (operation: Operation) => new Set(heldOut[operation].map(([a, b]) => `${a},${b}`));

describe("held-out facts", () => {
  test("are whole families: both orders and the inverse operations", () => {
    const [add, sub, mul, div] = [pairs("add"), pairs("sub"), pairs("mul"), pairs("div")];
    for (const [a, b] of heldOut.add) {
      expect(add).toContain(`${b},${a}`);
      if (a + b < 60) for (const x of [a, b]) expect(sub).toContain(`${a + b},${x}`);
    }
    for (const [a, b] of heldOut.sub) if (a >= b) expect(add).toContain(`${b},${a - b}`);
    for (const [a, b] of heldOut.mul) {
      expect(mul).toContain(`${b},${a}`);
      if (b > 0) expect(div).toContain(`${a * b},${b}`);
    }
    expect(add.size / 3600).toBeGreaterThan(0.08);
    expect(add.size / 3600).toBeLessThan(0.12);
  });

  test("and withheld wordings are in no document", () => {
    // By what the numbers of a document are, not by how it was drawn.
    const sums = new Set(heldOut.add.map(([a, b]) => [a, b, a + b].sort().join()));
    const products = new Set(heldOut.mul.map(([a, b]) => [a, b, a * b].sort().join()));
    const operators = { sums: 0, products: 0 };
    for (const document of draw(sources.arithmetic, 8000)) {
      const text = textOf(document);
      expect(text).not.toMatch(/^If you/);
      const numbers = document
        .filter(({ kind, text }) => kind !== "plain" && /^\d+$/.test(text))
        .map(({ text }) => Number(text));
      expect(numbers).toHaveLength(3);
      const [a, b, c] = numbers as [number, number, number];
      const key = [...numbers].sort().join();
      if (a + b === c || a - b === c || b - a === c) {
        if (/\+|plus|sum|add|more|in another|-|minus|difference|subtract|gives|lost/.test(text)) {
          expect(sums, text).not.toContain(key);
          ++operators.sums;
        }
      }
      if (/\*|times|product|multiply|in each|\/|divided|quotient|divide|shares/.test(text)) {
        expect(products, text).not.toContain(key);
        ++operators.products;
      }
    }
    expect(operators.sums).toBeGreaterThan(3000);
    expect(operators.products).toBeGreaterThan(3000);
  });

  test("word tasks leave their held-out clusters out, and every answer is in the prompt", () => {
    const names = card.words[0]?.lists.names ?? [];
    const received = card.words[0] as (typeof card.words)[number];
    for (const document of draw(sources.words, 3000)) {
      const text = textOf(document);
      const word = document.find(({ kind }) => kind === "answer")?.text ?? "";
      expect(text.split(word).length).toBeGreaterThan(2);
      if (!text.startsWith("When")) continue;
      const both = names.filter((name) => text.includes(name)).sort();
      expect(heldOutCluster(received, both.join(",")), text).toBe(false);
    }
  });
});

describe("texts", () => {
  test("the shipped config's are split at a chapter, and the control text is in no trained part", async () => {
    const config = await readPretrainConfig("packages/models/pretraining/arith.json");
    const texts = await readTexts(config.texts, config.folder);
    const control = await readFile(textFile("tom-sawyer.txt"), "utf8");
    const piece = control.slice(2000, 2200);
    expect(texts.some((text) => text.heldOut.includes(piece))).toBe(true);
    for (const { name, trained, heldOut } of texts) {
      expect(heldOut.length, name).toBeGreaterThan(2000);
      expect(/gutenberg-tm|full license/i.test(`${trained}${heldOut}`), name).toBe(false);
      expect(trained.includes(piece), name).toBe(false);
      expect(trained.includes(heldOut.slice(0, 300)), name).toBe(false);
    }
    expect(texts.filter(({ trained }) => trained === "")).toHaveLength(1);
  });

  test("a text without marks is taken whole", () => {
    expect(bookOf("\ufeffOne.\r\nTwo.\r\n")).toBe("One.\nTwo.");
  });
});

describe("batches", () => {
  const text = draw(sources.numbers, 400).map(textOf).join("");
  const json = makeTokenizer([text, ...draw(sources.words, 300).map(textOf)], 1400);
  const tokenizer = new JsonTokenizer({ json, path: "made" });
  const options: MixtureOptions = {
    card,
    operations: quarter,
    seed: 5,
    shares: { arithmetic: 0.5, numbers: 0.15, words: 0.1, text: 0.25 },
    weights: { answer: 6, given: 0.3, plain: 1 },
    tokens: 24 * 96,
    length: 96,
    alone: 0.5,
  };
  const mixture = new Mixture(options, tokenizer, [text, ""]);

  test("depend on seed and update alone", () => {
    const again = new Mixture(options, tokenizer, [text]);
    const later = again.at(7);
    expect(mixture.at(3)).toEqual(again.at(3));
    expect(mixture.at(7)).toEqual(later);
    expect(mixture.at(8)).not.toEqual(later);
    expect(new Mixture({ ...options, seed: 6 }, tokenizer, [text]).at(7)).not.toEqual(later);
  });

  test("begin every sequence with the begin token, keep the length and weigh answers", () => {
    const [begin] = tokenizer.encode("");
    let tokens = 0;
    for (let step = 0; step < 20; ++step) {
      const { sequences, weights } = mixture.at(step);
      sequences.forEach((ids, row) => {
        expect(ids[0]).toBe(begin);
        expect(ids.length).toBeLessThanOrEqual(options.length);
        expect(weights[row]).toHaveLength(ids.length);
        tokens += ids.length;
      });
      const used = new Set(weights.flat());
      expect(used).toEqual(new Set([0, 0.3, 1, 6]));
    }
    expect(tokens / 20 / options.tokens).toBeGreaterThan(0.95);
    expect(tokens / 20 / options.tokens).toBeLessThan(1.1);
  });
});
