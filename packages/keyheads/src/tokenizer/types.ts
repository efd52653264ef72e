import type { ChatMessage, ChatOptions } from "./chat-template.ts";
import type { TextStream } from "./text-stream.ts";

export interface EncodeOptions {
  /** Put the special tokens of tokenizer.json before and after the text (default true). */
  readonly addSpecialTokens?: boolean;
  /** Read special tokens that stand in the text as plain text (default false). */
  readonly splitSpecialTokens?: boolean;
  /**
   * Take what the vocabulary cannot spell as the reference does, as the unknown token or as
   * nothing (default false: an error).
   */
  readonly keepUnknown?: boolean;
}

export interface DecodeOptions {
  /** Leave out special tokens (default true). */
  readonly skipSpecialTokens?: boolean;
  /**
   * Leave out ids without a token, such as the rows that pad an embedding, as the reference does
   * (default false: an error).
   */
  readonly skipMissing?: boolean;
}

/** Text to token ids and back, as the model's tokenizer.json says. */
export interface Tokenizer {
  /** Largest id + 1. */
  readonly vocabSize: number;
  /**
   * Ids with the special tokens that tokenizer.json adds. Throws UNKNOWN_TOKEN, naming the
   * characters, where the vocabulary has no token for them.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** One token for display: its text, or its name for special tokens. */
  tokenText(id: number): string;
  /**
   * Ids with the span [start, stop) of characters (UTF-16 units) that each came from. A token that is
   * part of a character has the whole of it; special tokens that were added have an empty span.
   */
  encodeWithOffsets(
    text: string,
    options?: EncodeOptions,
  ): { ids: number[]; spans: [number, number][] };
  /** Text of tokens as they come, without broken characters; `before` are not part of it. */
  textStream(before?: readonly number[], options?: DecodeOptions): TextStream;
  /** Whether the folder has a chat template. */
  readonly hasChatTemplate: boolean;
  /**
   * Messages as the model's chat template writes them, special tokens included. Throws
   * NO_CHAT_TEMPLATE without a template, BAD_ARGUMENT for what the template refuses.
   */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatOptions): string;
  /** The ids of `applyChatTemplate`, to which nothing is added. */
  encodeChat(messages: readonly ChatMessage[], options?: ChatOptions): number[];
}
