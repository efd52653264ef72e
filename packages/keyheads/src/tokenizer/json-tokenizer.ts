// A tokenizer.json run by @huggingface/tokenizers, made strict: what the vocabulary does not have
// is an error here, where tokenizers give the unknown token, or drop the text, without a word.
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { KeyheadsError } from "../errors.ts";
import { align, type Span } from "./align.ts";
import { components, type TokenContent, type TokenizerJson, tokenContent } from "./content.ts";
import type { Tokenizer } from "./types.ts";

export class JsonTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly #inner: HuggingFaceTokenizer;
  readonly #content: TokenContent;
  readonly #added: ReadonlySet<string>;
  readonly #unknown: string | undefined;
  readonly #cleanUp: boolean;
  /** Characters already looked up; only where the model drops what it does not know. */
  readonly #droppable: Map<string, boolean> | undefined;

  /** Parsed tokenizer.json and tokenizer_config.json; `path` is for messages. */
  constructor(json: TokenizerJson, config: Readonly<Record<string, unknown>>, path: string) {
    checkComponents(json, path);
    try {
      this.#inner = new HuggingFaceTokenizer(json, config);
    } catch (cause) {
      throw new KeyheadsError(
        "BAD_CHECKPOINT",
        `${path} cannot be used: ${(cause as Error).message}`,
        { cause },
      );
    }
    const vocabulary = this.#inner.get_vocab(true);
    this.vocabSize = [...vocabulary.values()].reduce((size, id) => Math.max(size, id + 1), 0);
    this.#content = tokenContent(json);
    const added = [...this.#inner.get_added_tokens_decoder().values()];
    this.#added = new Set(added.map(({ content }) => content));
    this.#unknown = json.model?.unk_token ?? undefined;
    this.#cleanUp = config.clean_up_tokenization_spaces === true;
    const { alphabet } = this.#content;
    const complete = alphabet.length > 0 && alphabet.every((byte) => vocabulary.has(byte));
    this.#droppable = this.#unknown === undefined && !complete ? new Map() : undefined;
  }

  encode(text: string): number[] {
    return this.#encode(text, true).ids;
  }

  decode(ids: readonly number[]): string {
    for (const id of ids) this.#name(id);
    // The library throws on an empty list.
    if (ids.length === 0) return "";
    return this.#inner.decode([...ids], {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: this.#cleanUp,
    });
  }

  tokenText(id: number): string {
    const name = this.#name(id);
    if (this.#added.has(name)) return name;
    const text = new TextDecoder().decode(this.#content.bytes(name));
    return text.includes("\uFFFD") ? name : text;
  }

  encodeWithOffsets(text: string): { ids: number[]; spans: Span[] } {
    const { ids } = this.#encode(text, true);
    const inner = this.#encode(text, false);
    const bytes = inner.tokens.map((token) => this.#bytes(token));
    const spans = align(text, bytes);
    if (!spans) {
      throw new KeyheadsError(
        "UNKNOWN_TOKEN",
        `the tokens of ${JSON.stringify(text)} cannot be aligned with it: they spell ${JSON.stringify(this.decode(inner.ids))}; give roles as token spans (role_ids) instead`,
      );
    }
    // Special tokens that were put around the text have empty spans at its ends.
    const before = ids.findIndex((_, k) => inner.ids.every((id, i) => ids[k + i] === id));
    const after = ids.length - inner.ids.length - before;
    return {
      ids,
      spans: [
        ...Array.from({ length: before }, (): Span => [0, 0]),
        ...spans,
        ...Array.from({ length: after }, (): Span => [text.length, text.length]),
      ],
    };
  }

  #encode(text: string, special: boolean): { ids: number[]; tokens: string[] } {
    const { ids, tokens } = this.#inner.encode(text, { add_special_tokens: special });
    const unknown = this.#findUnknown(text, ids, tokens);
    if (unknown !== undefined) {
      throw new KeyheadsError(
        "UNKNOWN_TOKEN",
        `the tokenizer has no token for ${JSON.stringify(unknown)} in ${JSON.stringify(text)}`,
      );
    }
    return { ids, tokens };
  }

  #findUnknown(text: string, ids: readonly unknown[], tokens: readonly string[]) {
    const strange = tokens.find(
      (token, i) => !Number.isInteger(ids[i]) || this.#inner.token_to_id(token) === undefined,
    );
    if (strange !== undefined) return strange;
    const unknown = this.#unknown;
    if (unknown === undefined) {
      return this.#droppable && [...text].find((character) => this.#isDropped(character));
    }
    // The unknown token may be meant: its text in the text, or (WordLevel) an ordinary word.
    const meant = text.split(unknown).length - 1;
    if (tokens.filter((token) => token === unknown).length <= meant) return undefined;
    return [...text].find((character) => this.#raw(character).includes(unknown)) ?? text;
  }

  #isDropped(character: string): boolean {
    const known = this.#droppable?.get(character);
    if (known !== undefined) return known;
    const bytes = this.#raw(character).map((token) => this.#bytes(token));
    const dropped = character.trim() !== "" && align(character, bytes) === undefined;
    this.#droppable?.set(character, dropped);
    return dropped;
  }

  #raw(text: string): string[] {
    return this.#inner.tokenize(text);
  }

  #bytes(token: string): Uint8Array {
    return this.#added.has(token) ? new TextEncoder().encode(token) : this.#content.bytes(token);
  }

  #name(id: number): string {
    const name = this.#inner.id_to_token(id);
    if (name !== undefined) return name;
    throw new KeyheadsError(
      "UNKNOWN_TOKEN",
      `the tokenizer has no token with id ${id}; its ids are 0 to ${this.vocabSize - 1}`,
    );
  }
}

/** Settings that the library accepts and runs as something else. */
function checkComponents(json: TokenizerJson, path: string): void {
  for (const { type, behavior, invert } of components(json?.pre_tokenizer)) {
    if (type !== "Split") continue;
    const how = behavior?.toLowerCase();
    if (how === (invert ? "removed" : "isolated") || (how === "removed" && !invert)) continue;
    throw new KeyheadsError(
      "BAD_CHECKPOINT",
      `${path} splits text with behavior ${behavior}${invert ? ", inverted" : ""}, which is not supported; give token ids instead of text`,
    );
  }
}
