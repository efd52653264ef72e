import { describe, expect, it } from "vitest";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { references } from "./references.ts";

const megabyte = "The heads add two numbers, 12 + 34 = 46. ".repeat(25_000);
const texts: readonly [name: string, text: string][] = [
  ["a word", "abcdefghij".repeat(10_000)],
  ["one letter", "a".repeat(100_000)],
  ["spaces", " ".repeat(100_000)],
  ["line ends", "\n".repeat(100_000)],
  ["brackets", "(".repeat(50_000) + ")".repeat(50_000)],
  ["marks", `e${"\u0301".repeat(50_000)}`],
  ["families", "👩‍👩‍👧".repeat(10_000)],
  ["nothing but zeros", "\0".repeat(50_000)],
];
const kinds = [
  "byte-level, GPT-4's pattern, NFC",
  "byte fallback, prepended",
  "byte fallback, metaspace",
  "unigram",
  "word pieces",
  "words",
];

// A stack that overflows, or steps that grow with the square of the length, would fail here.
describe.each(kinds)("long texts: %s", (kind) => {
  const json = references.find(({ name }) => name === kind)?.tokenizer;
  const tokenizer = new JsonTokenizer({ json, path: kind });

  it.each(texts)("%s", (_, text) => {
    const options = { addSpecialTokens: false, keepUnknown: true };
    const back = tokenizer.decode(tokenizer.encode(text, options), { skipSpecialTokens: false });
    const exact = kind.startsWith("byte") && !kind.endsWith("metaspace");
    if (exact) expect(back === (kind.endsWith("NFC") ? text.normalize() : text)).toBe(true);
    else expect(typeof back).toBe("string");
  });
});

describe.each(kinds.slice(0, 2))("a megabyte: %s", (kind) => {
  const json = references.find(({ name }) => name === kind)?.tokenizer;
  const tokenizer = new JsonTokenizer({ json, path: kind });

  it.each([
    ["sentences", megabyte],
    ["without a space", megabyte.replaceAll(" ", "")],
  ])("%s", (_, text) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    expect(tokenizer.decode(ids, { skipSpecialTokens: false }) === text).toBe(true);
  });
});

describe("odd texts", () => {
  const json = references.find(({ name }) => name === "byte fallback, prepended")?.tokenizer;
  const tokenizer = new JsonTokenizer({ json, path: "llama" });

  it("nothing has nothing but the begin token", () => {
    expect(tokenizer.encode("")).toEqual([1]);
    expect(tokenizer.encode("", { addSpecialTokens: false })).toEqual([]);
    expect(tokenizer.encodeWithOffsets("")).toEqual({ ids: [1], spans: [[0, 0]] });
    expect(tokenizer.decode([])).toBe("");
  });
  it("half a surrogate pair is an error that says where", () => {
    for (const text of ["ab\ud83d", "ab\ude00c", "😀\ud83d\ud83d"]) {
      expect(() => tokenizer.encode(text)).toThrow(
        expect.objectContaining({ code: "BAD_ARGUMENT", message: expect.stringMatching(/unit 2/) }),
      );
    }
  });
  it("a zero byte is a character", () => {
    const ids = tokenizer.encode("a\0b", { addSpecialTokens: false });
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe("a\0b");
  });
});
