// A tokenizer.json run by @huggingface/tokenizers, made strict: a character that the vocabulary
// does not have is an error, where the library would give the unknown token without a word.
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { KeyheadsError } from "../errors.ts";
import { align } from "./align.ts";
import type { Tokenizer } from "./types.ts";

export class JsonTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly #inner: HuggingFaceTokenizer;

  /** Parsed tokenizer.json and tokenizer_config.json; `path` is for messages. */
  constructor(json: unknown, config: unknown, path: string) {
    try {
      this.#inner = new HuggingFaceTokenizer(json as object, config as object);
    } catch (cause) {
      throw new KeyheadsError("BAD_CHECKPOINT", `${path}: ${(cause as Error).message}`, { cause });
    }
    this.vocabSize = 1 + Math.max(...this.#inner.get_vocab(true).values());
  }

  encode(text: string): number[] {
    return this.#inner.encode(text).ids;
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return "";
    return this.#inner.decode([...ids], { skip_special_tokens: true });
  }

  tokenText(id: number): string {
    return this.#inner.id_to_token(id) ?? "";
  }

  encodeWithOffsets(text: string): { ids: number[]; spans: [number, number][] } {
    return align(text, this);
  }
}
