import { expect, test } from "vitest";
import { makeTokenizer } from "../../packages/keyheads/src/pretraining/make-tokenizer.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { type Merge, trainBpe } from "../../packages/keyheads/src/tokenizer/train-bpe.ts";

test("learns the merges of Sennrich's example", () => {
  const words = new Map([
    ["low", 5],
    ["lower", 2],
    ["newest", 6],
    ["widest", 3],
  ]);
  const merges = trainBpe(words, { merges: 6 });
  // es 9, est 9, lo 7, low 7; then ew, ne and w-est are 6 each, and the first in order wins.
  expect(merges.map((merge) => merge.join(" "))).toEqual([
    "e s",
    "es t",
    "l o",
    "lo w",
    "e w",
    "ew est",
  ]);
  expect(trainBpe(words, { merges: 100, least: 7 })).toHaveLength(4);
});

test("learns what counting everything anew would", () => {
  const random = rng(5);
  for (let round = 0; round < 20; ++round) {
    const words = new Map(
      Array.from({ length: 30 }, () => [
        Array.from({ length: 1 + random.int(9) }, () => "abc"[random.int(3)]).join(""),
        1 + random.int(20),
      ]),
    );
    expect(trainBpe(words, { merges: 25 })).toEqual(countedAnew(words, 25));
  }
});

/** The slow twin. */
function countedAnew(words: ReadonlyMap<string, number>, merges: number): Merge[] {
  const split = Array.from(words, ([word, count]) => ({ symbols: [...word], count }));
  const learned: Merge[] = [];
  while (learned.length < merges) {
    const counts = new Map<string, number>();
    for (const { symbols, count } of split) {
      for (let i = 0; i + 1 < symbols.length; ++i) {
        const pair = `${symbols[i]} ${symbols[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + count);
      }
    }
    const most = Math.max(...counts.values());
    if (!(most >= 2)) break;
    const [best] = [...counts.keys()]
      .filter((pair) => counts.get(pair) === most)
      .map((pair) => pair.split(" ") as [string, string])
      .sort(([a, b], [c, d]) => (a === c ? (b < d ? -1 : 1) : a < c ? -1 : 1));
    const [left, right] = best as [string, string];
    learned.push([left, right]);
    for (const word of split) {
      const joined: string[] = [];
      for (const symbol of word.symbols) {
        // The symbol before may just have been joined: "aaa" is "aa" and "a".
        if (symbol === right && joined.at(-1) === left)
          joined[joined.length - 1] = `\0${left}${right}`;
        else joined.push(symbol);
      }
      word.symbols = joined.map((symbol) => symbol.replace("\0", ""));
    }
  }
  return learned;
}

test("a made tokenizer has every number to 999 as one token and writes back what it reads", () => {
  const text = "The sum of 12 and 7 is 19.\nNaïve cafés – “the sum” of the sums.";
  const json = makeTokenizer([text, text], 1300);
  expect(makeTokenizer([text, text], 1300)).toEqual(json);
  const tokenizer = new JsonTokenizer({ json, path: "made" });
  const begin = tokenizer.encode("");
  expect(begin).toHaveLength(1);
  for (const n of [0, 7, 10, 99, 100, 512, 999]) {
    expect(tokenizer.encode(String(n)), String(n)).toHaveLength(2);
  }
  expect(
    tokenizer
      .encode("1234")
      .map((id) => tokenizer.tokenText(id))
      .slice(1),
  ).toEqual(["123", "4"]);
  for (const one of [text, "007 is 7, 日本 1000\n\n"]) {
    expect(tokenizer.decode(tokenizer.encode(one))).toBe(one);
  }
  expect(() => makeTokenizer([text], 1200)).toThrow(/1200.*1248/);
});
