// Added tokens: texts that are one token wherever they stand, found before anything else is done.
import type { Part } from "./part.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out of decoded text. */
  readonly special: boolean;
  /** Looked for in normalized text, after normalizing its own. */
  readonly normalized: boolean;
  /** Takes the white space before it, and after it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Only where no letter, digit or the like touches it. */
  readonly singleWord: boolean;
}

/** [start, stop) of a text, and the added token that it is. */
export interface Found {
  readonly start: number;
  readonly stop: number;
  readonly token: AddedToken | undefined;
}

/** Flags as in tokenizer.json; the id is found by the caller. */
export function readAddedToken(part: Part, id: number): AddedToken {
  const special = part.get("special").boolean(false);
  return {
    id,
    content: part.get("content").string(),
    special,
    normalized: part.get("normalized").boolean(!special),
    lstrip: part.get("lstrip").boolean(false),
    rstrip: part.get("rstrip").boolean(false),
    singleWord: part.get("single_word").boolean(false),
  };
}

interface Node {
  readonly next: Map<number, Node>;
  token?: AddedToken;
}

/** Looks for the longest of some tokens at every place of a text, from left to right. */
export class AddedTokenFinder {
  readonly #root: Node = { next: new Map() };

  /** What each token looks like in the text. */
  constructor(tokens: Iterable<readonly [form: string, token: AddedToken]>) {
    for (const [form, token] of tokens) {
      if (form === "") continue;
      let node = this.#root;
      for (let i = 0; i < form.length; ++i) {
        const unit = form.charCodeAt(i);
        const next: Node = node.next.get(unit) ?? { next: new Map() };
        node.next.set(unit, next);
        node = next;
      }
      // Of two tokens of the same form, the first is found.
      node.token ??= token;
    }
  }

  /** Tokens and what lies between them, in order. `plain` tokens are passed over as text. */
  find(text: string, plain: (token: AddedToken) => boolean): Found[] {
    const found: Found[] = [];
    let end = 0;
    if (this.#root.next.size === 0) return [{ start: 0, stop: text.length, token: undefined }];
    for (let i = 0; i < text.length; ) {
      const match = this.#longest(text, i);
      if (!match) {
        ++i;
        continue;
      }
      let start = i;
      let stop = match.stop;
      i = match.stop;
      const { token } = match;
      if (plain(token) || (token.singleWord && touchesWord(text, start, stop))) continue;
      if (token.lstrip) start = Math.max(spacesBefore(text, start), end);
      if (token.rstrip) stop = spacesAfter(text, stop);
      if (end < start) found.push({ start: end, stop: start, token: undefined });
      found.push({ start, stop, token });
      end = stop;
    }
    if (end < text.length) found.push({ start: end, stop: text.length, token: undefined });
    return found;
  }

  #longest(text: string, at: number): { token: AddedToken; stop: number } | undefined {
    let longest: { token: AddedToken; stop: number } | undefined;
    let node = this.#root.next.get(text.charCodeAt(at));
    for (let i = at + 1; node; ++i) {
      if (node.token) longest = { token: node.token, stop: i };
      if (i >= text.length) break;
      node = node.next.get(text.charCodeAt(i));
    }
    return longest;
  }
}

const wordStart = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const wordEnd = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;

/** Two units hold a whole character on either side. */
function touchesWord(text: string, start: number, stop: number): boolean {
  return (
    wordEnd.test(text.slice(Math.max(0, start - 2), start)) ||
    wordStart.test(text.slice(stop, stop + 2))
  );
}

const space = /\p{White_Space}/u;

function spacesBefore(text: string, at: number): number {
  let start = at;
  while (start > 0 && space.test(text[start - 1] as string)) --start;
  return start;
}

function spacesAfter(text: string, at: number): number {
  let stop = at;
  while (stop < text.length && space.test(text[stop] as string)) ++stop;
  return stop;
}
