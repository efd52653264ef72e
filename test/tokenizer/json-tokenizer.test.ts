import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { loadTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";
import type { Tokenizer } from "../../packages/keyheads/src/tokenizer/types.ts";
import { bundledModels } from "../../packages/models/src/index.ts";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const bundled = (name: string) => bundledModels.find((m) => m.name === name)?.folder ?? name;

async function tokenizerOf(folder: string): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(folder);
  if (!tokenizer) throw new Error(`${folder} has no tokenizer.json`);
  return tokenizer;
}
const slices = (tokenizer: Tokenizer, text: string) =>
  tokenizer.encodeWithOffsets(text).spans.map((span) => text.slice(...span));

describe("word-level tokenizer without spaces", async () => {
  const tokenizer = await tokenizerOf(at("../fixtures/planted"));

  it("gives the ids of the fixture's problems", () => {
    const lines = readFileSync(at("../fixtures/planted/problems.jsonl"), "utf8").trim().split("\n");
    const problems = lines.map((line) => JSON.parse(line));
    for (const { prompt, answer, answer_id: id } of problems) {
      expect(tokenizer.decode([id])).toBe(answer);
      expect(tokenizer.encode(prompt)).toHaveLength(4);
    }
    expect(problems).toHaveLength(300);
  });
  it("aligns tokens although spaces vanish", () => {
    expect(tokenizer.encode(" 7 * 8 =")).toEqual(tokenizer.encode("7*8="));
    expect(slices(tokenizer, " 7 * 12 = ")).toEqual(["7", "*", "12", "="]);
  });
  it("names the character or number that it does not have", () => {
    expect(() => tokenizer.encode("7/8=")).toThrow(/no token for "\/" in "7\/8="/);
    expect(() => tokenizer.encode("7*123=")).toThrow(/no token for "123"/);
  });
  it("takes the unknown token where the text names it", () => {
    expect(tokenizer.encode("<unk>")).toEqual([0]);
  });
});

describe("tokenizer whose unknown token is an ordinary digit", async () => {
  const tokenizer = await tokenizerOf(bundled("mathgpt_add3_h4_l4"));

  it("gives digits", () => {
    expect(tokenizer.encode("0123456789")).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(tokenizer.vocabSize).toBe(10);
  });
  it("does not turn other characters into 0", () => {
    for (const text of ["12+34", "1 2", "x"]) {
      expect(() => tokenizer.encode(text)).toThrow(
        expect.objectContaining({ code: "UNKNOWN_TOKEN" }),
      );
    }
  });
});

describe("SentencePiece BPE with byte fallback", async () => {
  const folder = bundled("stories260K");
  const tokenizer = await tokenizerOf(folder);
  const golden: { text: string; ids: number[]; decoded: string }[] = JSON.parse(
    readFileSync(`${folder}/tokenizer_golden.json`, "utf8"),
  );

  it.each(golden)("encodes and decodes $text", ({ text, ids, decoded }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
  });
  it("gives the begin token an empty span and a character's bytes the whole character", () => {
    expect(slices(tokenizer, "a ☃.")).toEqual(["", "a", " ", "☃", "☃", "☃", "."]);
    expect(slices(tokenizer, "  two")).toEqual(["", "", " ", " t", "w", "o"]);
  });
  it("shows spaces and bytes as text", () => {
    const [, once = -1] = tokenizer.encode("Once");
    expect(tokenizer.tokenText(once)).toBe(" Once");
    expect(tokenizer.tokenText(13)).toBe("\n");
    expect(tokenizer.tokenText(1)).toBe("<s>");
  });
});

describe("byte-level BPE with groups of digits", async () => {
  const tokenizer = await tokenizerOf(bundled("arith-demo"));

  it("makes one token of every number below 1000, and adds the begin token", () => {
    for (const n of [0, 7, 45, 999]) expect(tokenizer.encode(String(n))).toHaveLength(2);
    expect(tokenizer.encode("1234567")).toHaveLength(4);
    expect(tokenizer.encode("")).toEqual([0]);
  });
  it("keeps prompt ids a prefix of prompt and answer", () => {
    const prompt = tokenizer.encode("23 + 45 = ");
    const whole = tokenizer.encode("23 + 45 = 68");
    expect(whole.slice(0, prompt.length)).toEqual(prompt);
    expect(tokenizer.decode(whole.slice(prompt.length))).toBe("68");
  });
  it("aligns", () => {
    expect(slices(tokenizer, "23 + é😀")).toEqual([
      "",
      "23",
      " +",
      " ",
      "é",
      "é",
      "😀",
      "😀",
      "😀",
      "😀",
    ]);
  });
});

describe("any tokenizer", async () => {
  const tokenizer = await tokenizerOf(at("../fixtures/planted"));

  it("decodes an empty list", () => expect(tokenizer.decode([])).toBe(""));
  it("refuses ids that do not exist", () => {
    expect(() => tokenizer.decode([3, 55])).toThrow(/no token with id 55; its ids are 0 to 54/);
    expect(() => tokenizer.tokenText(-1)).toThrow(/no token with id -1/);
  });
  it("is undefined without tokenizer.json", async () => {
    expect(await loadTokenizer(at("../fixtures/llama"))).toBeUndefined();
  });
});

describe("a byte-level tokenizer that lacks bytes and has no unknown token", () => {
  const json = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: { a: 0, b: 1, Ġ: 2, Ã: 3 }, merges: [] },
  };
  const tokenizer = new JsonTokenizer({ json, path: "tokenizer.json" });

  it("does not drop what it lacks", () => {
    expect(tokenizer.encode("ab a")).toEqual([0, 1, 2, 0]);
    expect(() => tokenizer.encode("abc")).toThrow(/no token for "c" in "abc"/);
    expect(() => tokenizer.encode("aé")).toThrow(/no token for "é"/);
  });
});
