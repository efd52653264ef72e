import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { fromMerges, fromRanks, fromSentencePiece } from "./published.ts";

const root = fileURLToPath(new URL("../../../shared/data/tokenizers", import.meta.url));
const read = (path: string) => JSON.parse(readFileSync(`${root}/${path}`, "utf8"));

const published: readonly [name: string, golden: string, json: () => unknown][] = [
  ["GPT-2", "gpt2/golden.json", () => fromMerges(`${root}/gpt2`)],
  ["GPT-NeoX", "gpt-neox-pythia/golden.json", () => read("gpt-neox-pythia/tokenizer.json")],
  ["Llama 2", "llama2/golden.json", () => read("llama2/tokenizer.json")],
  ["Llama 3", "llama3/golden.json", () => fromRanks(`${root}/llama3/tokenizer.model`)],
  ...["v1", "v3"].map(
    (version) =>
      [
        `Mistral ${version}`,
        `mistral/golden_tokenizer.model.${version}.json`,
        () => fromSentencePiece(`${root}/mistral/tokenizer.model.${version}`),
      ] as const,
  ),
  [
    "torchtune's tiny BPE, which lacks some bytes",
    "torchtune_tiny_bpe/golden.json",
    () => read("torchtune_tiny_bpe/tokenizer.json"),
  ],
];

// Their licences keep some of them out of this repository.
describe.skipIf(!existsSync(root))("published tokenizers (needs ../shared)", () => {
  it.each(published)("%s", (name, golden, json) => {
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
