/**
 * Roles of a prompt from spans of characters to spans of tokens, checked against the text: a role
 * that cuts through a token has no tokens of its own and is an error.
 */
import type { Tokenizer } from "../tokenizer/types.ts";
import { bad } from "./line.ts";

export type Span = [start: number, stop: number];

/**
 * `roles` are [start, stop) in characters (Unicode code points) of `prompt`; the result is in tokens
 * of `ids`. Special tokens before the text get the role `bos`. White space at the edge of a token
 * may stick out of a role.
 */
export function tokenSpans(
  prompt: string,
  roles: Readonly<Record<string, Span>>,
  ids: readonly number[],
  tokenizer: Tokenizer,
): Record<string, Span> {
  const aligned = tokenizer.encodeWithOffsets(prompt);
  if (!sameIds(aligned.ids, ids)) {
    throw bad("roles: prompt_ids are not the tokens of prompt; give role_ids instead");
  }
  const units = unitOffsets(prompt);
  const result: Record<string, Span> = {};
  const special = aligned.spans.findIndex(([start, stop]) => stop > start);
  if (special > 0) result.bos = [0, special];
  for (const [role, [from, to]] of Object.entries(roles)) {
    const start = units(from);
    const stop = units(to);
    if (start === undefined || stop === undefined || from >= to) {
      throw bad(`role ${role}: [${from}, ${to}) is not a part of the prompt ${quote(prompt)}`);
    }
    result[role] = overlap(role, prompt, [start, stop], aligned.spans);
  }
  return result;
}

function overlap(role: string, prompt: string, [start, stop]: Span, spans: Span[]): Span {
  const inside = (span: Span) => span[1] > span[0] && span[0] < stop && span[1] > start;
  const first = spans.findIndex(inside);
  const last = spans.findLastIndex(inside);
  if (first < 0) throw bad(`role ${role}: no token covers ${quote(prompt.slice(start, stop))}`);
  const left = (spans[first] as Span)[0];
  const right = (spans[last] as Span)[1];
  const before = left < start ? prompt.slice(left, start) : "";
  const after = right > stop ? prompt.slice(stop, right) : "";
  if (before.trim() !== "" || after.trim() !== "") {
    throw bad(
      `role ${role}: ${quote(prompt.slice(start, stop))} is only a part of the token ` +
        quote(prompt.slice(left, right)),
    );
  }
  return [first, last + 1];
}

/** Code point index -> UTF-16 index; undefined beyond the end. */
function unitOffsets(text: string): (index: number) => number | undefined {
  if (!/[\ud800-\udfff]/.test(text)) return (index) => (index <= text.length ? index : undefined);
  const offsets = [0];
  for (const character of text) offsets.push((offsets.at(-1) as number) + character.length);
  return (index) => offsets[index];
}

export function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}
