/**
 * From a line of text to token ids. Prompt ids are encode(prompt); answer ids are what
 * encode(prompt + answer) adds to them. Where that is no prefix, the tokenizer glues prompt and
 * answer together and the line cannot be scored (docs/tasks.md, token boundary rule).
 */
import type { Tokenizer } from "../tokenizer/types.ts";
import { Encoder } from "./encoder.ts";
import { canonical, maskView } from "./formats.ts";
import { bad, NoLabelsError } from "./line.ts";
import type { Line } from "./line-fields.ts";
import { type Span, sameIds, tokenSpans } from "./role-spans.ts";

export interface Item {
  readonly id: string;
  /** Of the file, from 1; of a list, the index + 1. */
  readonly line: number;
  readonly group?: string;
  readonly template?: string;
  readonly cluster?: string;
  readonly split?: string;
  /** The prompt as given. */
  readonly promptIds: number[];
  /** The whole answer. */
  readonly answerIds: number[];
  /** Index of the measured answer token. */
  readonly target: number;
  /** promptIds and the answer up to the target: END is its last token. */
  readonly reference: number[];
  /** answerIds[target] */
  readonly answerId: number;
  /** The counterfactual prompt and its own earlier answer tokens: END is its last token. */
  readonly counterfactual?: number[];
  readonly counterfactualAnswerId?: number;
  /** Token spans of `reference`. */
  readonly roles: Readonly<Record<string, readonly [start: number, stop: number]>>;
  readonly prompt?: string;
  readonly answer?: string;
  readonly choiceIds?: number[][];
  /** Index of the answer among choiceIds. */
  readonly choice?: number;
}

export interface ItemLimits {
  /** Single-token commands: several answer tokens need an explicit target. */
  readonly single?: boolean;
  /** For training: a line without an answer token is an error, not one to leave out. */
  readonly needsLabels?: boolean;
  /** Appended to every answer: for training. */
  readonly eosId?: number;
  readonly vocab: number;
  readonly context: number;
}

/** Throws BAD_ITEMS with the reason where the line cannot be used. */
export function toItem(
  given: Line,
  number: number,
  tokenizer: Tokenizer | undefined,
  limits: ItemLimits,
): Item {
  const encoder = new Encoder(tokenizer);
  const line = canonical(given, encoder);
  const promptIds = promptOf(line, encoder);
  const answerIds = answerOf(line, promptIds, encoder);
  const target = targetOf(line, answerIds, encoder, limits);
  const prefix = answerIds.slice(0, target);
  const reference = [...promptIds, ...prefix];
  const choiceIds = choicesOf(line, promptIds, encoder);
  const choice = choiceIds?.findIndex((ids) => sameIds(ids, answerIds));
  if (choice === -1) throw bad("the answer is not one of the choices");
  const other = counterfactualOf(line, promptIds, answerIds, target, encoder);
  if (limits.eosId !== undefined) answerIds.push(limits.eosId);

  const answer = line.answer ?? line.completion;
  const item: Item = {
    id: line.id ?? String(number),
    line: number,
    ...pick(line, "group", "template", "cluster", "split", "prompt"),
    ...(answer === undefined ? {} : { answer }),
    promptIds,
    answerIds,
    target,
    reference,
    answerId: answerIds[target] as number,
    ...other,
    roles: rolesOf(line, promptIds, reference.length, encoder),
    ...(choiceIds && choice !== undefined ? { choiceIds, choice } : {}),
  };
  checkIds(item, limits);
  return item;
}

function promptOf(line: Line, encoder: Encoder): number[] {
  if (line.prompt_ids) {
    if (line.prompt_ids.length === 0) throw bad("prompt_ids is empty");
    return [...line.prompt_ids];
  }
  if (line.prompt === undefined) throw bad("prompt is missing (or prompt_ids)");
  const ids = encoder.encode(line.prompt, "prompt");
  if (ids.length === 0) throw bad("the prompt has no tokens");
  return ids;
}

function answerOf(line: Line, promptIds: readonly number[], encoder: Encoder): number[] {
  const { answer_ids: ids, answer_id: id } = line;
  const text = line.answer ?? line.completion;
  if (line.answer !== undefined && line.completion !== undefined) {
    if (line.answer !== line.completion) throw bad("answer and completion differ; give one");
  }
  if (ids) {
    if (ids.length === 0) throw noLabels("answer_ids is empty", promptIds, encoder);
    if (id !== undefined && ids[line.target ?? 0] !== id) {
      throw bad(`answer_id ${id} is not the measured token of answer_ids [${ids.join(", ")}]`);
    }
    return [...ids];
  }
  if (id !== undefined) return [id];
  if (text === undefined) {
    const why = "answer is missing (or answer_ids, answer_id, completion)";
    throw noLabels(why, promptIds, encoder);
  }
  if (text === "") throw noLabels("the answer is empty", promptIds, encoder);
  if (line.prompt === undefined) throw bad("an answer in text needs prompt; give answer_ids");
  return encoder.continuation(line.prompt, promptIds, text, "answer");
}

function noLabels(why: string, promptIds: readonly number[], { tokenizer }: Encoder) {
  return new NoLabelsError(`${why}; ${maskView(promptIds, [], tokenizer)}`);
}

function targetOf(line: Line, answer: readonly number[], encoder: Encoder, limits: ItemLimits) {
  if (line.target !== undefined) {
    if (line.target < answer.length) return line.target;
    throw bad(`target ${line.target}: the answer has ${count(answer.length, "token")}`);
  }
  if (limits.single && answer.length > 1) {
    throw bad(
      `the answer is ${answer.length} tokens (${encoder.show(answer)}), and this needs one: say ` +
        "with target which one is measured, or give answer_id",
    );
  }
  return 0;
}

function choicesOf(line: Line, promptIds: readonly number[], encoder: Encoder) {
  if (line.choice_ids) return line.choice_ids;
  const { choices, prompt } = line;
  if (!choices) return undefined;
  if (prompt === undefined) throw bad("choices in text need prompt; give choice_ids");
  return choices.map((text) => encoder.continuation(prompt, promptIds, text, "choices"));
}

function counterfactualOf(
  line: Line,
  promptIds: readonly number[],
  answerIds: readonly number[],
  target: number,
  encoder: Encoder,
): Pick<Item, "counterfactual" | "counterfactualAnswerId"> {
  const text = line.counterfactual;
  const base =
    line.counterfactual_ids ??
    (text === undefined ? undefined : encoder.encode(text, "counterfactual"));
  if (base?.length === 0) throw bad("the counterfactual has no tokens");
  if (!base && (line.counterfactual_prefix ?? line.counterfactual_prefix_ids) !== undefined) {
    throw bad("counterfactual_prefix without counterfactual");
  }
  let prefix: readonly number[] = answerIds.slice(0, target);
  if (line.counterfactual_prefix_ids) {
    prefix = line.counterfactual_prefix_ids;
  } else if (line.counterfactual_prefix !== undefined && base) {
    if (text === undefined) {
      throw bad(
        "counterfactual_prefix needs counterfactual in text; give counterfactual_prefix_ids",
      );
    }
    prefix =
      line.counterfactual_prefix === ""
        ? []
        : encoder.continuation(text, base, line.counterfactual_prefix, "counterfactual_prefix");
  }
  const counterfactual = base ? { counterfactual: [...base, ...prefix] } : {};

  const answer = line.counterfactual_answer;
  if (line.counterfactual_answer_id !== undefined) {
    return { ...counterfactual, counterfactualAnswerId: line.counterfactual_answer_id };
  }
  if (answer === undefined) return counterfactual;
  // Without X_c, C' is another answer to the prompt itself.
  const from = base ? text : line.prompt;
  if (from === undefined) {
    throw bad("counterfactual_answer in text needs counterfactual in text; give its id");
  }
  const forced =
    line.counterfactual_prefix ??
    encoder.textOf(line.prompt, promptIds, line.answer ?? line.completion, prefix) ??
    "";
  const id = encoder.measured(from, base ?? promptIds, forced, prefix, answer, answerIds.length);
  return { ...counterfactual, counterfactualAnswerId: id };
}

function rolesOf(line: Line, promptIds: number[], length: number, encoder: Encoder): Item["roles"] {
  const roles: Record<string, Span> = {};
  if (line.roles) {
    if (line.prompt === undefined) throw bad("roles are spans of prompt, which is missing");
    Object.assign(roles, tokenSpans(line.prompt, line.roles, promptIds, encoder.need("roles")));
  }
  for (const [role, [start, stop]] of Object.entries(line.role_ids ?? {})) {
    if (start >= stop || stop > length) {
      throw bad(`role_ids ${role}: [${start}, ${stop}) is not a part of the ${length} tokens`);
    }
    roles[role] = [start, stop];
  }
  return roles;
}

function checkIds(item: Item, { vocab, context }: ItemLimits): void {
  const counterfactual = item.counterfactual ?? [];
  const all = {
    prompt: item.promptIds,
    answer: item.answerIds,
    counterfactual,
    counterfactual_answer:
      item.counterfactualAnswerId === undefined ? [] : [item.counterfactualAnswerId],
    choices: item.choiceIds?.flat() ?? [],
  };
  for (const [field, ids] of Object.entries(all)) {
    const wrong = ids.find((id) => id >= vocab);
    if (wrong !== undefined) {
      throw bad(`${field}: token id ${wrong} is not in the vocabulary (ids are below ${vocab})`);
    }
  }
  // The last answer token is predicted, never read.
  const longest = Math.max(
    item.promptIds.length + item.answerIds.length - 1,
    counterfactual.length,
  );
  if (longest > context) {
    throw bad(`${longest} tokens are more than the model's context of ${context}`);
  }
}

function pick<K extends keyof Line & keyof Item>(line: Line, ...keys: K[]): Pick<Item, K> {
  const entries = keys.filter((key) => line[key] !== undefined).map((key) => [key, line[key]]);
  return Object.fromEntries(entries) as Pick<Item, K>;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
