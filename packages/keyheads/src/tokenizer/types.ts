/** Text to token ids and back, as the model's tokenizer.json says. */
export interface Tokenizer {
  /** Largest id + 1. */
  readonly vocabSize: number;
  /**
   * Ids with the special tokens that tokenizer.json adds. Throws UNKNOWN_TOKEN, naming the
   * characters, where the vocabulary has no token for them.
   */
  encode(text: string): number[];
  /** The text without special tokens. */
  decode(ids: readonly number[]): string;
  /** One token for display: its text, or its name for special tokens. */
  tokenText(id: number): string;
  /**
   * Ids with the span [start, stop) of characters (UTF-16 units) that each came from; special tokens
   * that were added have an empty span. Throws where the tokens cannot be aligned with the text.
   */
  encodeWithOffsets(text: string): { ids: number[]; spans: [number, number][] };
}
