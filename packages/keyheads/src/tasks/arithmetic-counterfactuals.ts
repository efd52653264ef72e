/**
 * Counterfactuals of arithmetic prompts (docs/tasks.md). The null operator is the paper's; the
 * others keep the prompt natural and have an answer C' of their own.
 */
import type { ArithmeticCounterfactual } from "@keyheads/models";
import { answerOf, type Fact, type FactLimits, unpack } from "./facts.ts";
import type { NumberFit } from "./fit.ts";
import { hash, hashBelow } from "./hash.ts";
import { bad } from "./line.ts";
import { type Filling, type Rendered, render, type Template } from "./template.ts";

export interface Candidate extends Rendered {
  readonly id: string;
  readonly template: Template;
  readonly fact: Fact;
  readonly filling: Filling;
}

/** What counterfactuals are drawn from. */
export interface Context {
  readonly kind: ArithmeticCounterfactual;
  readonly seed: number;
  /** Packed, of this operation. */
  readonly facts: readonly number[];
  readonly templates: readonly Template[];
  /** Of every operation. */
  readonly all: readonly Template[];
  readonly limits: FactLimits;
  readonly fit: NumberFit;
  splitOf(fact: Fact): string;
  /** Length of a prompt in tokens. */
  tokens(prompt: string): number;
  nullWord(operator: string, id: string): string;
  fill(template: Template, a: number, b: number, id: string): Filling;
}

export interface Counterfactual {
  readonly prompt: string;
  readonly answer?: number;
}

/** Throws BAD_ITEMS with the reason where the candidate has no such counterfactual. */
export function counterfactualOf(candidate: Candidate, context: Context): Counterfactual {
  switch (context.kind) {
    case "null-operator":
      return nullOperator(candidate, context);
    case "operands":
      return otherFact(candidate, context, [candidate.template]);
    case "prompt":
      return otherFact(candidate, context, context.templates);
    case "operator":
      return otherOperator(candidate, context);
    case "digit":
      return otherDigit(candidate, context);
  }
}

function nullOperator({ id, template, filling }: Candidate, context: Context): Counterfactual {
  if (template.operator === undefined) {
    throw bad(`template ${template.name} has no operator words that could be replaced`);
  }
  const operator = context.nullWord(template.operator, id);
  return { prompt: render(template, { ...filling, operator }).prompt };
}

const attempts = 40;

/** Of the same split, with other operands and answer; of the same length in tokens if it can be. */
function otherFact(
  { id, template, fact, filling, prompt }: Candidate,
  context: Context,
  templates: readonly Template[],
): Counterfactual {
  const { facts, seed, kind } = context;
  const split = context.splitOf(fact);
  const length = context.tokens(prompt);
  let found: Counterfactual | undefined;
  for (let attempt = 0; attempt < attempts; ++attempt) {
    const draw = hash(seed, kind, id, attempt);
    const packed = facts[draw % facts.length] as number;
    const other = unpack(template.operation, packed);
    if (other.c === fact.c || other.a === fact.a || other.b === fact.b) continue;
    if (context.splitOf(other) !== split) continue;
    const form = templates[hashBelow(templates.length, seed, "form", id, attempt)] as Template;
    const filled =
      form === template
        ? { ...filling, a: other.a, b: other.b }
        : context.fill(form, other.a, other.b, `${id}/${attempt}`);
    found = { prompt: render(form, filled).prompt, answer: other.c };
    if (kind === "prompt" || context.tokens(found.prompt) === length) return found;
  }
  if (found) return found;
  throw bad(`no other operands with another answer among the ${facts.length} facts`);
}

function otherOperator(candidate: Candidate, context: Context): Counterfactual {
  const { id, template, fact, filling } = candidate;
  const choices = context.all.flatMap((form) => {
    if (form.name !== template.name || form.operation === template.operation) return [];
    const answer = answerOf(form.operation, fact.a, fact.b, context.limits, context.fit);
    return answer === undefined || answer === fact.c ? [] : [{ form, answer }];
  });
  if (choices.length === 0) {
    throw bad(`no other operation has another one-token answer for ${fact.a} and ${fact.b}`);
  }
  const { form, answer } = pickOne(choices, context.seed, id);
  return { prompt: render(form, filling).prompt, answer };
}

function otherDigit(candidate: Candidate, context: Context): Counterfactual {
  const { id, template, fact, filling } = candidate;
  const changes = [
    ...variants(fact.a).map((a) => ({ a, b: fact.b })),
    ...variants(fact.b).map((b) => ({ a: fact.a, b })),
  ].flatMap(({ a, b }) => {
    const answer = answerOf(template.operation, a, b, context.limits, context.fit);
    return answer === undefined || answer === fact.c ? [] : [{ a, b, answer }];
  });
  if (changes.length === 0) {
    throw bad(`no change of one digit of ${fact.a} or ${fact.b} gives another one-token answer`);
  }
  const { a, b, answer } = pickOne(changes, context.seed, id);
  return { prompt: render(template, { ...filling, a, b }).prompt, answer };
}

/** Numbers of as many digits that differ in one. */
function variants(value: number): number[] {
  const digits = String(value);
  return Array.from(digits).flatMap((digit, i) =>
    Array.from("0123456789")
      .filter((other) => other !== digit && !(i === 0 && digits.length > 1 && other === "0"))
      .map((other) => Number(digits.slice(0, i) + other + digits.slice(i + 1))),
  );
}

function pickOne<T>(choices: readonly T[], seed: number, id: string): T {
  return choices[hashBelow(choices.length, seed, "choice", id)] as T;
}
