/**
 * One line of an items file as it is written: text, token ids, or both (docs/tasks.md). Fields
 * that are not listed are kept out of the way but allowed: files of other programs carry some.
 */
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";
import type { Line, RawItem } from "./line-fields.ts";

const label = z.union([z.string(), z.number()], { error: "expected text" }).transform(String);
const id = z.int({ error: "expected a token id, a whole number from 0" }).min(0);
const ids = z.array(id);
const span = z.tuple([z.int().min(0), z.int().min(0)], {
  error: "expected [start, stop], two whole numbers",
});
const spans = z.record(z.string(), span);

type Written = { [K in keyof RawItem]?: RawItem[K] | undefined };
const schema: z.ZodType<Line, Written> = z.looseObject({
  id: label.optional(),
  group: label.optional(),
  template: label.optional(),
  cluster: label.optional(),
  split: label.optional(),

  prompt: z.string().optional(),
  answer: z.string().optional(),
  completion: z.string().optional(),
  target: z.int().min(0).optional(),
  counterfactual: z.string().optional(),
  counterfactual_prefix: z.string().optional(),
  counterfactual_answer: z.string().optional(),
  roles: spans.optional(),
  choices: z.array(z.string()).min(2).optional(),
  question: z.string().optional(),
  messages: z
    .array(z.looseObject({ role: z.string() }))
    .min(1)
    .optional(),

  prompt_ids: ids.optional(),
  answer_ids: ids.optional(),
  answer_id: id.optional(),
  counterfactual_ids: ids.optional(),
  counterfactual_prefix_ids: ids.optional(),
  counterfactual_answer_id: id.optional(),
  role_ids: spans.optional(),
  choice_ids: z.array(ids).min(2).optional(),
});

/** Reads one line. Throws BAD_ITEMS with the reason. */
export function parseLine(text: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw bad(`not JSON: ${(cause as Error).message}`);
  }
  return checkLine(value);
}

/** Checks an object that is a line already. Throws BAD_ITEMS with the reason. */
export function checkLine(value: unknown): Line {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`expected an object with fields, got ${JSON.stringify(value).slice(0, 40)}`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw bad(result.error.issues.map(describe).join("; "));
}

/** A line without a token to learn: for training a mistake in the data, not a line to leave out. */
export class NoLabelsError extends KeyheadsError {
  constructor(why: string) {
    super("BAD_ITEMS", why);
  }
}

/** A reason why a line cannot be used. */
export function bad(why: string): KeyheadsError {
  return new KeyheadsError("BAD_ITEMS", why);
}

function describe(issue: z.core.$ZodIssue): string {
  const path = issue.path.map((key, i) => (typeof key === "number" ? `[${key}]` : dot(key, i)));
  return `${path.join("")}: ${issue.message.replace(/^(Invalid input|Too small): /, "")}`;
}

function dot(key: PropertyKey, index: number): string {
  return index === 0 ? String(key) : `.${String(key)}`;
}
