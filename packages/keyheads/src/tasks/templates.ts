/**
 * The built-in wordings: five forms in each of three styles for every operation, after the three
 * prompt styles of Zhang et al. (ICML 2024), whose own list was not published. The same form has
 * the same name under all operations, so that an operator can be swapped and nothing else.
 */
import { readFile } from "node:fs/promises";
import type { Operation, Style, TemplateCard } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { parseTemplate, type Template } from "./template.ts";

export const operations: readonly Operation[] = ["add", "sub", "mul", "div"];
export const styles: readonly Style[] = ["equation", "statement", "question", "story"];

interface Words {
  readonly sign: string;
  readonly word: string;
  /** "[sum] of {a} and {b}" */
  readonly noun: string;
  /** "[add] {a} and {b}" */
  readonly verb: string;
}

const words: Readonly<Record<Operation, Words>> = {
  add: { sign: "+", word: "plus", noun: "[sum] of {a} and {b}", verb: "[add] {a} and {b}" },
  sub: {
    sign: "-",
    word: "minus",
    noun: "[difference] between {a} and {b}",
    verb: "[subtract] {b} from {a}",
  },
  mul: {
    sign: "*",
    word: "times",
    noun: "[product] of {a} and {b}",
    verb: "[multiply] {a} by {b}",
  },
  div: {
    sign: "/",
    word: "divided by",
    noun: "[quotient] of {a} and {b}",
    verb: "[divide] {a} by {b}",
  },
};

function forms({ sign, word, noun, verb }: Words): Record<string, [Style, string]> {
  return {
    sign: ["equation", `{a} [${sign}] {b} (=)`],
    word: ["equation", `{a} [${word}] {b} (=)`],
    calculate: ["equation", `Calculate: {a} [${sign}] {b} (=)`],
    brackets: ["equation", `\\({a} [${sign}] {b}\\) (=)`],
    unknown: ["equation", `x = {a} [${sign}] {b}, x (=)`],
    equals: ["statement", `{a} [${word}] {b} (equals)`],
    "equals-to": ["statement", `{a} [${word}] {b} (equals to)`],
    noun: ["statement", `The ${noun} (is)`],
    result: ["statement", `The result of {a} [${word}] {b} (is)`],
    if: ["statement", `If you ${verb}, you (get)`],
    "q-noun": ["question", `Q: What is the ${noun}? (A:)`],
    "q-word": ["question", `Q: What is {a} [${word}] {b}? (A:)`],
    "q-much": ["question", `Question: How much is {a} [${word}] {b}? (Answer:)`],
    "q-get": ["question", `What do you get if you ${verb}? (Answer:)`],
    "q-sign": ["question", `Q: {a} [${sign}] {b} = ? (A:)`],
  };
}

/** Parsed built-in templates, 15 an operation. */
export const builtInTemplates: readonly Template[] = operations.flatMap((operation) =>
  Object.entries(forms(words[operation])).map(([name, [style, text]]) =>
    parseTemplate({ operation, style, name, text }),
  ),
);

/** Parses the templates of a card. */
export function templatesOf(cards: readonly TemplateCard[]): Template[] {
  return cards.map((card) => parseTemplate(card));
}

const linePattern = /^(\w+)\s+(\w+)(?:\s+([\w-]+))?\s*:\s(.*)$/;

/**
 * Reads a template file: lines `OPERATION STYLE [NAME]: TEXT`, blank lines and lines that begin
 * with # aside. Throws BAD_ARGUMENT with the line's number.
 */
export function templatesFromText(text: string, file: string): Template[] {
  const templates: Template[] = [];
  for (const [i, line] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n|\r/)
    .entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const where = `${file}:${i + 1}`;
    const match = linePattern.exec(line);
    if (!match) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `${where}: expected "OPERATION STYLE [NAME]: TEXT", for example ` +
          `"add statement total: The [total] of {a} and {b} (is)"; got ${JSON.stringify(line)}`,
      );
    }
    const [, operation, style, name = `line-${i + 1}`, body] = match;
    templates.push(
      parseTemplate(
        {
          operation: oneOf(operations, operation, "operation", where),
          style: oneOf(styles, style, "style", where),
          name,
          text: body as string,
        },
        where,
      ),
    );
  }
  if (templates.length > 0) return templates;
  throw new KeyheadsError("BAD_ARGUMENT", `${file} has no templates`);
}

/** Reads a template file from disk. */
export async function readTemplates(file: string): Promise<Template[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("BAD_ARGUMENT", `cannot read the templates ${file}: ${message}`, {
      cause,
    });
  }
  return templatesFromText(text, file);
}

function oneOf<T extends string>(
  all: readonly T[],
  value: string | undefined,
  what: string,
  where: string,
): T {
  const found = all.find((entry) => entry === value);
  if (found !== undefined) return found;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `${where}: ${what} ${JSON.stringify(value)} is not one of ${all.join(", ")}`,
  );
}
