import { describe, expect, it } from "vitest";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { references } from "./references.ts";

describe.each(references)("$name", ({ name, tokenizer: json, cases }) => {
  const tokenizer = new JsonTokenizer({ json, path: name });

  it("gives the ids of the reference", () => {
    for (const { text, ids } of cases) {
      expect(tokenizer.encode(text, { keepUnknown: true }), text).toEqual(ids);
    }
  });
  it("reads special tokens as text if asked to", () => {
    const options = { keepUnknown: true, addSpecialTokens: false, splitSpecialTokens: true };
    for (const { text, plain } of cases) {
      expect(tokenizer.encode(text, options), text).toEqual(plain);
    }
  });
  it("decodes as the reference", () => {
    for (const { shown, whole, without } of cases) {
      expect(tokenizer.decode(shown, { skipSpecialTokens: false })).toBe(whole);
      expect(tokenizer.decode(shown)).toBe(without);
    }
  });
  it("streams what it decodes, never half a character before the end", () => {
    for (const { shown, without } of cases) {
      const stream = tokenizer.textStream();
      const pieces = shown.map((id) => stream.push(id));
      expect(pieces.join("") + stream.end()).toBe(without);
      for (const piece of pieces) expect(piece.endsWith("\ufffd")).toBe(false);
    }
  });
  it("gives spans in order, inside the text, for the same ids", () => {
    for (const { text, ids } of cases) {
      const spans = tokenizer.encodeWithOffsets(text, { keepUnknown: true });
      expect(spans.ids).toEqual(ids);
      for (const [start, stop] of spans.spans) {
        expect(0 <= start && start <= stop && stop <= text.length).toBe(true);
      }
    }
  });
  it("says what it cannot spell, or gives the ids of the reference", () => {
    for (const { text, ids } of cases) {
      try {
        expect(tokenizer.encode(text)).toEqual(ids);
      } catch (error) {
        expect(error).toMatchObject({ code: "UNKNOWN_TOKEN" });
      }
    }
  });
});
