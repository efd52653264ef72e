import { KeyheadsError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { bad } from "./line.ts";
import { quote, sameIds } from "./role-spans.ts";

/** A tokenizer that may be missing, with the reasons in the words of the file. */
export class Encoder {
  readonly tokenizer: Tokenizer | undefined;

  constructor(tokenizer: Tokenizer | undefined) {
    this.tokenizer = tokenizer;
  }

  need(field: string): Tokenizer {
    if (this.tokenizer) return this.tokenizer;
    throw bad(`${field} is text, but the model has no tokenizer; give token ids`);
  }

  encode(text: string, field: string): number[] {
    const tokenizer = this.need(field);
    let ids: number[];
    try {
      ids = tokenizer.encode(text);
    } catch (cause) {
      if (!(cause instanceof KeyheadsError)) throw cause;
      throw bad(`${field}: ${cause.message}`);
    }
    // An id that is no number would become token 0 in a typed array.
    const wrong = ids.findIndex((id) => !Number.isInteger(id) || id < 0);
    if (wrong >= 0)
      throw bad(`${field}: the tokenizer gave ${ids[wrong]} for a part of ${quote(text)}`);
    return ids;
  }

  /** What `text` adds to the tokens of `prompt`. */
  continuation(prompt: string, ids: readonly number[], text: string, field: string): number[] {
    const whole = this.encode(prompt + text, field);
    const differs = ids.findIndex((id, i) => whole[i] !== id);
    if (differs >= 0) {
      throw bad(
        `${field}: the tokenizer joins it with what stands before: ${quote(prompt)} ends in ` +
          `${this.show(ids.slice(differs))}, with ${quote(text)} behind it in ` +
          `${this.show(whole.slice(differs))}; move the space between them to the other side`,
      );
    }
    const rest = whole.slice(ids.length);
    if (rest.length === 0) throw bad(`${field}: ${quote(text)} has no tokens`);
    return rest;
  }

  /** The text of the first answer tokens, found by cutting the answer; undefined if it cannot be. */
  textOf(
    prompt: string | undefined,
    promptIds: readonly number[],
    answer: string | undefined,
    prefix: readonly number[],
  ): string | undefined {
    if (prefix.length === 0) return "";
    if (prompt === undefined || answer === undefined) return undefined;
    const wanted = [...promptIds, ...prefix];
    for (let end = 1; end <= answer.length; ++end) {
      const text = answer.slice(0, end);
      if (sameIds(this.encode(prompt + text, "answer"), wanted)) return text;
    }
    return undefined;
  }

  /**
   * The measured token of a counterfactual answer. It is what follows the prefix; where it has
   * several tokens it must be the whole answer, prefix included, as `answer` is.
   */
  measured(
    prompt: string,
    ids: readonly number[],
    forced: string,
    prefix: readonly number[],
    answer: string,
    answerLength: number,
  ): number {
    const field = "counterfactual_answer";
    const after = forced === "" ? ids : [...ids, ...prefix];
    const rest = this.continuation(prompt + forced, after, answer, field);
    if (rest.length === 1) return rest[0] as number;
    const whole = this.continuation(prompt, ids, answer, field);
    const id = whole[prefix.length];
    const starts = prefix.every((token, i) => whole[i] === token);
    if (answerLength > 1 && starts && id !== undefined) return id;
    throw bad(
      `${field} ${quote(answer)} is ${rest.length} tokens (${this.show(rest)}); give the measured ` +
        "one, or counterfactual_answer_id",
    );
  }

  show(ids: readonly number[]): string {
    return ids.map((id) => JSON.stringify(this.tokenizer?.tokenText(id) ?? id)).join(", ");
  }
}
