// Published tokenizers that come in other forms, as tokenizer.json.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { byteAlphabet } from "../../packages/keyheads/src/tokenizer/byte-level.ts";

export const root = fileURLToPath(new URL("../../../shared/data/tokenizers", import.meta.url));
export const readPublished = (path: string) => JSON.parse(readFileSync(`${root}/${path}`, "utf8"));

export interface Published {
  readonly name: string;
  /** File of texts and ids. */
  readonly golden: string;
  readonly json: () => unknown;
}

/** Those that are there: their licences keep some of them out of this repository. */
export function publishedTokenizers(): Published[] {
  const all: Published[] = [
    { name: "GPT-2", golden: "gpt2/golden.json", json: () => fromMerges(`${root}/gpt2`) },
    {
      name: "GPT-NeoX",
      golden: "gpt-neox-pythia/golden.json",
      json: () => readPublished("gpt-neox-pythia/tokenizer.json"),
    },
    {
      name: "Llama 2",
      golden: "llama2/golden.json",
      json: () => readPublished("llama2/tokenizer.json"),
    },
    {
      name: "Llama 3",
      golden: "llama3/golden.json",
      json: () => fromRanks(`${root}/llama3/tokenizer.model`),
    },
    ...["v1", "v3"].map((version) => ({
      name: `Mistral ${version}`,
      golden: `mistral/golden_tokenizer.model.${version}.json`,
      json: () => fromSentencePiece(`${root}/mistral/tokenizer.model.${version}`),
    })),
    {
      name: "torchtune's tiny BPE, which lacks some bytes",
      golden: "torchtune_tiny_bpe/golden.json",
      json: () => readPublished("torchtune_tiny_bpe/tokenizer.json"),
    },
  ];
  return all.filter(({ golden }) => existsSync(`${root}/${golden}`));
}

const special = (content: string, id: number) => ({
  content,
  id,
  special: true,
  normalized: false,
  single_word: false,
  lstrip: false,
  rstrip: false,
});
const byteLevel = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
};

/** GPT-2's vocab.json and merges.txt. */
export function fromMerges(folder: string): unknown {
  const lines = readFileSync(`${folder}/merges.txt`, "utf8").split("\n");
  const merges = lines.filter((line) => line !== "" && !line.startsWith("#version"));
  const vocab: Record<string, number> = JSON.parse(readFileSync(`${folder}/vocab.json`, "utf8"));
  return {
    added_tokens: [special("<|endoftext|>", 50256)],
    pre_tokenizer: { ...byteLevel, use_regex: true },
    decoder: byteLevel,
    model: { type: "BPE", vocab, merges },
  };
}

/** Llama 3's ranks: every way of joining two tokens to a third is a merge. */
export function fromRanks(path: string): unknown {
  const spelled = (bytes: Buffer) => Array.from(bytes, (byte) => byteAlphabet[byte]).join("");
  const lines = readFileSync(path, "utf8").trim().split("\n");
  const ranks = lines.map((line) => line.split(" ")[0] as string);
  const tokens = ranks.map((code) => spelled(Buffer.from(code, "base64")));
  const vocab = Object.fromEntries(tokens.map((token, rank) => [token, rank]));
  const pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  return {
    added_tokens: [special("<|begin_of_text|>", tokens.length)],
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        byteLevel,
      ],
    },
    decoder: byteLevel,
    model: { type: "BPE", vocab, merges: joins(tokens, vocab), ignore_merges: true },
  };
}

/** A SentencePiece BPE model: what has the better score is joined first. */
export function fromSentencePiece(path: string): unknown {
  const pieces = readPieces(readFileSync(path));
  const vocab = Object.fromEntries(pieces.map(({ text }, id) => [text, id]));
  const best = pieces.toSorted((a, b) => b.score - a.score).map(({ text }) => text);
  return {
    added_tokens: ["<unk>", "<s>", "</s>"].map(special),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      vocab,
      merges: joins(best, vocab),
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
    },
  };
}

function joins(tokens: readonly string[], vocab: Readonly<Record<string, number>>): string[][] {
  const has = (token: string) => Object.hasOwn(vocab, token);
  return tokens.flatMap((token) => {
    const places = Array.from({ length: Math.max(0, token.length - 1) }, (_, i) => i + 1);
    return places
      .map((place) => [token.slice(0, place), token.slice(place)] as const)
      .filter(([left, right]) => has(left) && has(right))
      .map((pair) => [...pair])
      .sort((a, b) => {
        const [left, right] = [a, b].map(([first = ""]) => vocab[first] ?? 0);
        return (left ?? 0) - (right ?? 0);
      });
  });
}

/** Text and score, fields 1 and 2 of every message in field 1 of a protocol buffer. */
function readPieces(file: Buffer): { text: string; score: number }[] {
  const pieces = fields(file).filter(({ number }) => number === 1);
  return pieces.map(({ bytes }) => {
    const field = (wanted: number) => fields(bytes).find(({ number }) => number === wanted)?.bytes;
    return { text: field(1)?.toString() ?? "", score: field(2)?.readFloatLE() ?? 0 };
  });
}

function fields(file: Buffer): { number: number; bytes: Buffer }[] {
  const found: { number: number; bytes: Buffer }[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = file[at++] as number;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < file.length) {
    const key = varint();
    const kind = key & 7;
    const size = kind === 2 ? varint() : kind === 5 ? 4 : kind === 1 ? 8 : 0;
    if (kind === 0) varint();
    found.push({ number: key >>> 3, bytes: file.subarray(at, at + size) });
    at += size;
  }
  return found;
}
