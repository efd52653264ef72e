/** Wordings: the built-in ones, those of cards and those of template files, parsed. */
import { readFile } from "node:fs/promises";
import { operations, type Style, type TemplateCard, wordings } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { parseTemplate, type Template } from "./template.ts";

export { operations } from "@keyheads/models";
export const styles: readonly Style[] = ["equation", "statement", "question", "story"];

/** Parsed built-in templates, 15 an operation. */
export const builtInTemplates: readonly Template[] = wordings.map((card) => parseTemplate(card));

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
