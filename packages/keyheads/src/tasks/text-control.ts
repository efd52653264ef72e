/**
 * Plain text as a control: how often the next token is right, and its loss. As items, so that the
 * same measure serves tasks and controls: each is a window of text and the token behind it.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { rng } from "../statistics/rng.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { Item } from "./item.ts";
import type { ItemSet } from "./items.ts";

export interface TextOptions {
  /** Items, or fewer where the text is shorter; 200. */
  readonly count?: number;
  /** Tokens of text before the predicted one; 48, and never more than the context holds. */
  readonly window?: number;
  readonly seed?: number;
  readonly context: number;
  /** Only this much of the text is tokenised, from its beginning; 200,000. */
  readonly characters?: number;
}

/** The text's tokens, and the special tokens that the tokenizer puts in front of every text. */
export function textTokens(
  text: string,
  tokenizer: Tokenizer,
  characters = 200_000,
): { special: number[]; ids: number[] } {
  const cut = text
    .replace(/^\ufeff/, "")
    .replaceAll("\r\n", "\n")
    .slice(0, characters);
  const { ids, spans } = tokenizer.encodeWithOffsets(cut);
  const first = spans.findIndex(([start, stop]) => stop > start);
  const last = spans.findLastIndex(([start, stop]) => stop > start);
  return {
    special: ids.slice(0, Math.max(first, 0)),
    ids: first < 0 ? [] : ids.slice(first, last + 1),
  };
}

/** The whole text as sequences of at most `length` tokens, special tokens in front of each. */
export function textSequences(
  text: string,
  tokenizer: Tokenizer,
  options: Pick<TextOptions, "characters"> & { readonly length: number },
): number[][] {
  const { special, ids } = textTokens(text, tokenizer, options.characters);
  const step = options.length - special.length;
  if (step < 2) throw tooShort(options.length);
  const sequences: number[][] = [];
  for (let i = 0; i + 1 < ids.length; i += step)
    sequences.push([...special, ...ids.slice(i, i + step)]);
  return sequences;
}

/** Next-token items at random places; neighbours of the same stretch of text share a cluster. */
export function textItems(
  text: string,
  tokenizer: Tokenizer,
  options: TextOptions & { readonly name?: string },
): ItemSet {
  const name = options.name ?? "text";
  const { special, ids } = textTokens(text, tokenizer, options.characters);
  const window = Math.min(options.window ?? 48, options.context - special.length);
  if (window < 1) throw tooShort(options.context);
  const places = Array.from({ length: Math.max(ids.length - window, 0) }, (_, i) => i + window);
  if (places.length === 0) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${name} has ${ids.length} tokens; at least ${window + 1} are needed`,
    );
  }
  const chosen = rng(options.seed ?? 0).sample(
    places,
    Math.min(options.count ?? 200, places.length),
  );
  const items = chosen
    .sort((a, b) => a - b)
    .map((place, i): Item => {
      const promptIds = [...special, ...ids.slice(place - window, place)];
      const answerId = ids[place] as number;
      return {
        id: `${name}-${place}`,
        line: i + 1,
        group: name,
        cluster: String(Math.floor(place / (4 * window))),
        promptIds,
        answerIds: [answerId],
        target: 0,
        reference: promptIds,
        answerId,
        roles: special.length > 0 ? { bos: [0, special.length] } : {},
      };
    });
  return { name, items, dropped: [] };
}

/** The same from a file. Throws BAD_ITEMS if it cannot be read. */
export async function readTextItems(
  file: string,
  tokenizer: Tokenizer,
  options: TextOptions,
): Promise<ItemSet> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("BAD_ITEMS", `cannot read the text ${file}: ${message}`, { cause });
  }
  return textItems(text, tokenizer, { ...options, name: basename(file) });
}

function tooShort(length: number): KeyheadsError {
  return new KeyheadsError(
    "BAD_ARGUMENT",
    `a text window of ${length} tokens has nothing to predict`,
  );
}
