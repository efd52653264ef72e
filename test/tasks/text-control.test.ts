import { describe, expect, it } from "vitest";
import {
  readTextItems,
  textItems,
  textSequences,
} from "../../packages/keyheads/src/tasks/text-control.ts";
import { fakeTokenizer } from "./fake-tokenizer.ts";

const tokenizer = fakeTokenizer([..."abcdefghijklmnopqrstuvwxyz \n"], { bos: true });
const text = "the quick brown fox jumps over the lazy dog ".repeat(10);

describe("text as a control", () => {
  it("asks for the token behind a window, special tokens in front", () => {
    const { items } = textItems(text, tokenizer, { context: 64, window: 10, count: 50 });
    expect(items).toHaveLength(50);
    expect(new Set(items.map((item) => item.id)).size).toBe(50);
    for (const item of items) {
      expect(item.promptIds).toHaveLength(11);
      expect(item.promptIds[0]).toBe(0);
      const seen = tokenizer.decode([...item.promptIds.slice(1), item.answerId]);
      expect(text).toContain(seen);
      expect(item.roles).toEqual({ bos: [0, 1] });
    }
  });

  it("is repeatable and keeps to the context", () => {
    const once = textItems(text, tokenizer, { context: 16, seed: 2 });
    expect(textItems(text, tokenizer, { context: 16, seed: 2 })).toEqual(once);
    expect(once.items.every((item) => item.promptIds.length === 16)).toBe(true);
  });

  it("cuts the whole text into sequences", () => {
    const sequences = textSequences(text, tokenizer, { length: 21 });
    expect(sequences.every((sequence) => sequence[0] === 0 && sequence.length <= 21)).toBe(true);
    expect(sequences.map((sequence) => tokenizer.decode(sequence.slice(1))).join("")).toBe(text);
  });

  it("reads only the first characters, without byte order mark and carriage returns", () => {
    const options = { length: 200, characters: 7 };
    const [first] = textSequences("\ufeffab\r\ncdefghij", tokenizer, options);
    expect(tokenizer.decode((first as number[]).slice(1))).toBe("ab\ncdef");
  });

  it("says what is wrong", async () => {
    expect(() => textItems("ab", tokenizer, { context: 64 })).toThrow(/2 tokens; at least 49 are/);
    expect(() => textItems(text, tokenizer, { context: 1 })).toThrow(/nothing to predict/);
    await expect(readTextItems("/none.txt", tokenizer, { context: 64 })).rejects.toThrow(
      /cannot read the text \/none.txt/,
    );
  });
});
