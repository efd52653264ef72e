// Models whose pieces are words: WordLevel knows a word or does not, WordPiece takes the longest
// known beginning of what is left.
import type { Part } from "./part.ts";
import { type TokenModel, Tokens } from "./token-model.ts";
import { readVocabulary } from "./vocabulary.ts";

export class WordLevel implements TokenModel {
  readonly type = "WordLevel";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #unknown: number | undefined;

  constructor(part: Part) {
    this.vocabulary = readVocabulary(part.get("vocab"));
    this.#unknown = this.vocabulary.get(part.get("unk_token").string("<unk>"));
  }

  tokenize(text: string): Tokens {
    const tokens = new Tokens();
    const id = this.vocabulary.get(text);
    if (id === undefined) tokens.addUnknown(this.#unknown, 0, text.length);
    else tokens.add(id, 0, text.length);
    return tokens;
  }
}

export class WordPiece implements TokenModel {
  readonly type = "WordPiece";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #unknown: number | undefined;
  readonly #prefix: string;
  readonly #longest: number;
  /** No token is longer, in UTF-16 units. */
  readonly #longestToken: number;

  constructor(part: Part) {
    this.vocabulary = readVocabulary(part.get("vocab"));
    this.#unknown = this.vocabulary.get(part.get("unk_token").string("[UNK]"));
    this.#prefix = part.get("continuing_subword_prefix").string("##");
    this.#longest = part.get("max_input_chars_per_word").count(100);
    this.#longestToken = 0;
    for (const token of this.vocabulary.keys()) {
      this.#longestToken = Math.max(this.#longestToken, token.length);
    }
  }

  tokenize(text: string): Tokens {
    const tokens = new Tokens();
    const long = text.length > 2 * this.#longest || [...text].length > this.#longest;
    for (let start = 0; start < text.length; ) {
      const stop = long ? start : this.#longestFrom(text, start);
      if (stop === start) {
        const unknown = new Tokens();
        unknown.addUnknown(this.#unknown, 0, text.length);
        return unknown;
      }
      tokens.add(this.#idOf(text, start, stop) as number, start, stop);
      start = stop;
    }
    return tokens;
  }

  #longestFrom(text: string, start: number): number {
    let stop = Math.min(text.length, start + this.#longestToken);
    while (stop > start && this.#idOf(text, start, stop) === undefined) --stop;
    return stop;
  }

  #idOf(text: string, start: number, stop: number): number | undefined {
    const part = text.slice(start, stop);
    return this.vocabulary.get(start > 0 ? this.#prefix + part : part);
  }
}
