import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { publishedTokenizers, readPublished as read, root } from "./published.ts";

// Their licences keep some of them out of this repository.
describe.skipIf(!existsSync(root))("published tokenizers (needs ../shared)", () => {
  it.each(publishedTokenizers())("$name", ({ name, golden, json }) => {
    const tokenizer = new JsonTokenizer({ json: json(), path: name });
    const cases: { text: string; ids: number[] }[] = read(golden).cases;
    expect(cases).toHaveLength(12);
    const options = { addSpecialTokens: false, keepUnknown: true };
    for (const { text, ids } of cases) {
      expect(tokenizer.encode(text, options), text).toEqual(ids);
      const { spans } = tokenizer.encodeWithOffsets(text, options);
      if (name.startsWith("torchtune")) continue;
      expect(tokenizer.decode(ids)).toBe(text.normalize("NFC"));
      const covered = spans.reduce((end, [start, stop]) => (start <= end ? stop : -1), 0);
      expect(covered, text).toBe(text.length);
    }
  });
  it("refuses what a vocabulary cannot spell, but for white space", () => {
    const json = read("torchtune_tiny_bpe/tokenizer.json");
    const tokenizer = new JsonTokenizer({ json, path: "tiny" });
    for (const { text, ids } of read("torchtune_tiny_bpe/golden.json").cases) {
      if (/[é你]/.test(text)) expect(() => tokenizer.encode(text)).toThrow(/no token for/);
      else expect(tokenizer.encode(text), text).toEqual(ids);
    }
  });
});
