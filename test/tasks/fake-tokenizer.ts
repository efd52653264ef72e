import { KeyheadsError } from "../../packages/keyheads/src/errors.ts";
import { ChatTemplates } from "../../packages/keyheads/src/tokenizer/chat-template.ts";
import { TextStream } from "../../packages/keyheads/src/tokenizer/text-stream.ts";
import type { Tokenizer } from "../../packages/keyheads/src/tokenizer/types.ts";

/** Longest match over a list of pieces; small enough to predict by hand. */
export function fakeTokenizer(
  pieces: readonly string[],
  options: { readonly bos?: boolean } = {},
): Tokenizer {
  const all = options.bos ? ["<s>", ...pieces] : [...pieces];
  const ids = new Map(all.map((piece, id) => [piece, id]));
  const longestFirst = pieces.toSorted((a, b) => b.length - a.length);
  const byFirst = new Map<string | undefined, string[]>();
  for (const piece of longestFirst)
    byFirst.set(piece[0], [...(byFirst.get(piece[0]) ?? []), piece]);
  const cut = (text: string) => {
    const found: number[] = options.bos ? [0] : [];
    const spans: [number, number][] = options.bos ? [[0, 0]] : [];
    for (let at = 0; at < text.length; ) {
      const here = at;
      const best = byFirst.get(text[at])?.find((piece) => text.startsWith(piece, here));
      if (best === undefined) {
        throw new KeyheadsError("UNKNOWN_TOKEN", `no token for ${JSON.stringify(text[at])}`);
      }
      found.push(ids.get(best) as number);
      spans.push([at, at + best.length]);
      at += best.length;
    }
    return { ids: found, spans };
  };
  const decode = (ids: readonly number[]) => ids.map((id) => all[id]).join("");
  return {
    vocabSize: all.length,
    encode: (text) => cut(text).ids,
    encodeWithOffsets: cut,
    decode,
    tokenText: (id) => all[id] ?? "",
    textStream: () => new TextStream({ decode, open: () => false }),
    hasChatTemplate: false,
    applyChatTemplate: (messages, chat = {}) =>
      new ChatTemplates("the fake").render(messages, chat),
    encodeChat: (messages, chat = {}) =>
      cut(new ChatTemplates("the fake").render(messages, chat)).ids,
  };
}

const range = (n: number) => Array.from({ length: n }, (_, i) => String(i));
export const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
const wordPieces = [
  "plus",
  "minus",
  "times",
  "divided",
  "by",
  "equals",
  "to",
  "The",
  "sum",
  "of",
  "and",
  "is",
  "Calculate",
  "difference",
  "between",
  "product",
  "quotient",
  "What",
  "Question",
  "Answer",
  "nothing",
  "none",
];

/** Numbers 0..999 are tokens and the space before one is a token of its own. */
export const llama3Like = fakeTokenizer(
  [...ascii, ...range(1000), ...wordPieces.flatMap((word) => [word, ` ${word}`])],
  { bos: true },
);
/** Digits only. */
export const llama2Like = fakeTokenizer(
  [...ascii, ...wordPieces.flatMap((word) => [word, ` ${word}`])],
  { bos: true },
);
/** The space is glued to the number, and the set of numbers has holes. */
export const gpt2Like = fakeTokenizer([
  ...ascii,
  ...wordPieces.flatMap((word) => [word, ` ${word}`]),
  ...range(500)
    .filter((n) => Number(n) < 100 || Number(n) % 7 !== 0)
    .flatMap((n) => [n, ` ${n}`]),
]);
