/**
 * Wordings of arithmetic prompts. `{a}` and `{b}` are the operands, `[...]` the operator words,
 * `(...)` the words that call for the answer, other `{slots}` are filled from lists; a backslash
 * makes the next character literal. What stands before `{c}` is the prompt; a space right before
 * it is the separating space, and the rest is not used. Without `{c}` one space separates.
 */
import type { Operation, Style, TemplateCard } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";

export interface Template {
  readonly name: string;
  readonly operation: Operation;
  readonly style: Style;
  readonly parts: readonly Part[];
  /** Between prompt and answer: a space or nothing. */
  readonly separator: "" | " ";
  /** The words in [...], if there are any. */
  readonly operator?: string;
  /** Slots besides {a} and {b}. */
  readonly slots: readonly string[];
}

export type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "operator"; readonly text: string }
  | { readonly kind: "equals"; readonly text: string }
  | { readonly kind: "a" }
  | { readonly kind: "b" }
  | { readonly kind: "slot"; readonly name: string };

export interface Filling {
  readonly a: number;
  readonly b: number;
  /** In place of the template's own. */
  readonly operator?: string;
  readonly slots?: Readonly<Record<string, string>>;
}

export interface Rendered {
  readonly prompt: string;
  /** Spans of characters of the prompt. */
  readonly roles: Record<string, [start: number, stop: number]>;
}

/** Throws BAD_ARGUMENT, with `where` in front, if the text does not follow the syntax. */
export function parseTemplate(card: TemplateCard, where = `template ${card.name}`): Template {
  const fail = (why: string) =>
    new KeyheadsError("BAD_ARGUMENT", `${where}: ${why} in ${JSON.stringify(card.text)}`);
  const parts: Part[] = [];
  let plain = "";
  const flush = () => {
    if (plain !== "") parts.push({ kind: "text", text: plain });
    plain = "";
  };
  const { text } = card;
  let ended = false;
  for (let i = 0; i < text.length && !ended; ++i) {
    const character = text[i] as string;
    const close = { "{": "}", "[": "]", "(": ")" }[character];
    if (character === "\\") {
      plain += text[++i] ?? "\\";
    } else if (close) {
      const end = text.indexOf(close, i);
      if (end < 0) throw fail(`${character} is not closed; write \\${character} for the character`);
      const inner = text.slice(i + 1, end);
      flush();
      if (inner === "c" && character === "{") ended = true;
      else parts.push(part(character, inner));
      i = end;
    } else {
      plain += character;
    }
  }
  flush();

  const last = parts.at(-1);
  let separator: "" | " " = ended ? "" : " ";
  if (last?.kind === "text" && last.text.endsWith(" ")) {
    separator = " ";
    const trimmed = last.text.trimEnd();
    parts.pop();
    if (trimmed !== "") parts.push({ kind: "text", text: trimmed });
  }
  for (const kind of ["a", "b", "operator", "equals"] as const) {
    const n = parts.filter((p) => p.kind === kind).length;
    if (n > 1) throw fail(`${names[kind]} stands ${n} times`);
    if (n === 0 && (kind === "a" || kind === "b")) throw fail(`${names[kind]} is missing`);
  }
  const operator = parts.find((p) => p.kind === "operator");
  return {
    name: card.name,
    operation: card.operation,
    style: card.style,
    parts,
    separator,
    ...(operator ? { operator: operator.text } : {}),
    slots: parts.flatMap((p) => (p.kind === "slot" ? [p.name] : [])),
  };
}

const names = { a: "{a}", b: "{b}", operator: "[...]", equals: "(...)" };

function part(open: string, inner: string): Part {
  if (open === "[") return { kind: "operator", text: inner };
  if (open === "(") return { kind: "equals", text: inner };
  const lower = inner.toLowerCase();
  return lower === "a" || lower === "b" ? { kind: lower } : { kind: "slot", name: inner };
}

const roleOf = { a: "operand1", b: "operand2", operator: "operator", equals: "equals" } as const;

/** The prompt with its roles. Every slot must be filled. */
export function render(template: Template, filling: Filling): Rendered {
  let prompt = "";
  const roles: Rendered["roles"] = {};
  for (const part of template.parts) {
    const start = length(prompt);
    prompt += textOf(part, filling);
    const role = part.kind === "text" || part.kind === "slot" ? undefined : roleOf[part.kind];
    if (role) roles[role] = [start, length(prompt)];
  }
  return { prompt, roles };
}

function textOf(part: Part, { a, b, operator, slots }: Filling): string {
  switch (part.kind) {
    case "a":
      return String(a);
    case "b":
      return String(b);
    case "operator":
      return operator ?? part.text;
    case "slot": {
      const word = slots?.[part.name];
      if (word !== undefined) return word;
      throw new KeyheadsError("BAD_ARGUMENT", `the slot {${part.name}} has no words to fill it`);
    }
    default:
      return part.text;
  }
}

/** Roles count characters, not UTF-16 units. */
const length = (text: string) => [...text].length;
