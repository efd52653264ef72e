import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadTokenizer, missingTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";

const roots: string[] = [];
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});
function folder(files: Readonly<Record<string, unknown>>): string {
  const root = mkdtempSync(join(tmpdir(), "keyheads-tokenizer-"));
  roots.push(root);
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    writeFileSync(join(root, name), text);
  }
  return root;
}
const vocab = { a: 0, b: 1, "<unk>": 2, "<s>": 3, "</s>": 4 };
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const added = (id: number, content: string, more: object = {}) => {
  return { id, content, special: true, ...flags, ...more };
};
const words = {
  added_tokens: [] as object[],
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" } as object | null,
  post_processor: null,
  decoder: null,
  model: { type: "WordLevel", vocab, unk_token: "<unk>" } as object,
};
const load = async (json: unknown, config?: unknown, more: object = {}) => {
  const files = config === undefined ? {} : { "tokenizer_config.json": config };
  const loaded = await loadTokenizer(folder({ "tokenizer.json": json, ...files, ...more }));
  if (!loaded) throw new Error("no tokenizer");
  return loaded;
};

describe("a folder without tokenizer.json", () => {
  it.each([
    [["tokenizer.model"], /it has tokenizer\.model, which is not read/],
    [["vocab.json", "merges.txt"], /it has vocab\.json and merges\.txt, which are not read/],
    [["tiktoken.model"], /tiktoken\.model/],
  ])("%j: names the file and the command that makes it", async (names, message) => {
    const root = folder(Object.fromEntries(names.map((name) => [name, ""])));
    expect(await loadTokenizer(root)).toBeUndefined();
    const error = missingTokenizer(root);
    expect(error.code).toBe("NO_TOKENIZER");
    expect(error.message).toMatch(/has no tokenizer\.json/);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(
      `AutoTokenizer.from_pretrained('${root}').save_pretrained('${root}')`,
    );
  });
});

describe("a broken tokenizer.json", () => {
  it.each<[string, unknown, RegExp]>([
    ["cut off", '{"model": {"type": "BPE"', /tokenizer\.json is not JSON/],
    ["another type", "[]", /tokenizer\.json does not hold a JSON object/],
    ["no model", { added_tokens: [] }, /tokenizer\.json: model: is missing, expected an object/],
    ["model", { ...words, model: { type: "CTC" } }, /model: unknown model "CTC"; known are BPE/],
    [
      "pre-tokenizer",
      { ...words, pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Odd" }] } },
      /pre_tokenizer\.pretokenizers\[0\]: unknown pre-tokenizer "Odd"/,
    ],
    [
      "pattern",
      {
        ...words,
        pre_tokenizer: { type: "Split", pattern: { Regex: "a(b" }, behavior: "Isolated" },
      },
      /pre_tokenizer\.pattern\.Regex: "a\(b" cannot be used: "\(" without "\)"/,
    ],
    ["id", { ...words, model: { ...words.model, vocab: { a: "0" } } }, /vocab: "a" has the id "0"/],
    [
      "merge",
      { ...words, model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: ["a b"] } },
      /merges: merge 0 \("a b"\) needs "ab", which is not in the vocabulary/,
    ],
    ["added token", { ...words, added_tokens: [{ id: 1 }] }, /added_tokens\[0\]\.content: is miss/],
    ["decoder", { ...words, decoder: { type: "CTC" } }, /decoder: unknown decoder "CTC"/],
  ])("%s", async (_, json, message) => {
    await expect(load(json)).rejects.toThrow(
      expect.objectContaining({ code: "BAD_CHECKPOINT", message: expect.stringMatching(message) }),
    );
  });
  it("nests too deep", async () => {
    let part: object = { type: "WhitespaceSplit" };
    for (let i = 0; i < 200; ++i) part = { type: "Sequence", pretokenizers: [part] };
    await expect(load({ ...words, pre_tokenizer: part })).rejects.toThrow(/nests deeper than 100/);
  });
});

// Ids and texts are those of AutoTokenizer in transformers 5.17 on the same files.
describe("tokenizer_config.json", () => {
  const class_ = { tokenizer_class: "PreTrainedTokenizerFast" };

  it("may say anything about the length", async () => {
    const config = '{"model_max_length": 1000000000000000019884624838656}';
    expect((await load(words, config)).encode("a b")).toEqual([0, 1]);
  });
  it("adds special tokens that tokenizer.json does not list", async () => {
    const json = { ...words, added_tokens: [added(5, "<x>")] };
    const config = { ...class_, bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" };
    const loaded = await load(json, config);
    expect(loaded.encode("a <x>b<s>b")).toEqual([0, 5, 1, 3, 1]);
    expect(loaded.decode([0, 5, 1, 3, 1])).toBe("a b b");
  });
  it("does not touch the special tokens around a text: tokenizer.json's post-processor decides", async () => {
    const config = { ...class_, bos_token: "<s>", add_bos_token: true, add_eos_token: true };
    expect((await load(words, config)).encode("a b")).toEqual([0, 1]);
  });
  it("changes flags, but not ids", async () => {
    const json = { ...words, added_tokens: [added(5, "<x>")] };
    const { id: _, ...x } = added(5, "<x>", { lstrip: true, special: false });
    const { id: __, ...z } = added(8, "<z>");
    const config = { ...class_, bos_token: "<s>", added_tokens_decoder: { 5: x, 8: z } };
    const loaded = await load(json, config);
    expect(loaded.encode("a <x>b<s>b<z>")).toEqual([0, 5, 1, 3, 1, 6]);
    expect(loaded.decode([0, 5, 1])).toBe("a <x> b");
  });
  it("gives added tokens the next ids, whatever the file says", async () => {
    expect((await load({ ...words, added_tokens: [added(9, "<x>")] })).encode("a<x>")).toEqual([
      0, 5,
    ]);
    const swapped = { ...words, added_tokens: [added(7, "<x>"), added(5, "<y>")] };
    expect((await load(swapped)).encode("a <x><y>")).toEqual([0, 5, 6]);
  });
  it("may be older: special_tokens_map.json", async () => {
    const map = {
      bos_token: "<s>",
      eos_token: { content: "</s>", ...flags, lstrip: true },
      additional_special_tokens: ["<q>"],
    };
    const json = { ...words, added_tokens: [added(5, "<x>")] };
    const loaded = await load(json, class_, { "special_tokens_map.json": map });
    expect(loaded.encode("a <x>b<s>b </s><q>")).toEqual([0, 5, 1, 3, 1, 4, 6]);
  });
  it("tidies up spaces for words, not for BPE", async () => {
    const tidy = { clean_up_tokenization_spaces: true };
    const json = { ...words, model: { ...words.model, vocab: { a: 0, ".": 1, "<unk>": 2 } } };
    const loaded = await load(json, tidy);
    expect(loaded.decode([0, 1, 0])).toBe("a. a");
    const bpe = { ...words, model: { type: "BPE", vocab: { a: 0, ".": 1 }, merges: [] } };
    expect((await load(bpe, tidy)).decode([0, 1, 0])).toBe("a . a");
  });
});
