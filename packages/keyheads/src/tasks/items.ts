/**
 * Items files: JSONL, one item a line (docs/tasks.md). A line that cannot be used is reported with
 * its number and the reason; it is never skipped in silence.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { KeyheadsError } from "../errors.ts";
import type { Dropped } from "../results.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { type Item, type ItemLimits, toItem } from "./item.ts";
import { bad, checkLine, NoLabelsError, parseLine } from "./line.ts";
import type { Line, RawItem } from "./line-fields.ts";

export type { Item } from "./item.ts";
export type { RawItem } from "./line-fields.ts";
export { writeItems } from "./write-items.ts";

export interface ItemSet {
  readonly name: string;
  readonly items: Item[];
  readonly dropped: Dropped[];
}

export interface ReadItemsOptions extends ItemLimits {
  /** Any bad line is an error. */
  readonly strict?: boolean;
}

/**
 * Reads an items file. Throws BAD_ITEMS if it cannot be read, if no line can be used, and in strict
 * mode for the first lines that cannot be.
 */
export async function readItems(
  file: string,
  tokenizer: Tokenizer | undefined,
  options: ReadItemsOptions,
): Promise<ItemSet> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : cause;
    throw new KeyheadsError("BAD_ITEMS", `cannot read the items file ${file}: ${reason}`, {
      cause,
    });
  }
  return collect(basename(file), file, linesOf(bytes), tokenizer, options);
}

/** The same from text. */
export function itemsFromText(
  text: string,
  tokenizer: Tokenizer | undefined,
  options: ReadItemsOptions & { readonly name?: string },
): ItemSet {
  const name = options.name ?? "items";
  return collect(name, name, linesOf(Buffer.from(text)), tokenizer, options);
}

/** The same from lines that are objects already, numbered from 1. */
export function itemsFromRaw(
  raw: readonly RawItem[],
  tokenizer: Tokenizer | undefined,
  options: ReadItemsOptions & { readonly name?: string },
): ItemSet {
  const name = options.name ?? "items";
  const sources = raw.map((value, i) => ({ number: i + 1, read: () => checkLine(value) }));
  return collect(name, name, sources, tokenizer, options);
}

interface Source {
  readonly number: number;
  read(): Line;
}

function collect(
  name: string,
  source: string,
  lines: Iterable<Source>,
  tokenizer: Tokenizer | undefined,
  options: ReadItemsOptions,
): ItemSet {
  const items: Item[] = [];
  const dropped: Dropped[] = [];
  const seen = new Map<string, number>();
  for (const { number, read } of lines) {
    try {
      const item = toItem(read(), number, tokenizer, options);
      const before = seen.get(item.id);
      if (before !== undefined) throw bad(`id ${item.id} is that of line ${before} already`);
      seen.set(item.id, number);
      items.push(item);
    } catch (error) {
      if (!(error instanceof KeyheadsError)) throw error;
      if (options.needsLabels && error instanceof NoLabelsError) {
        throw bad(`${source}, line ${number}, has no token to learn: ${error.message}`);
      }
      dropped.push({ line: number, why: error.message });
    }
  }
  if (items.length === 0 && dropped.length === 0) {
    throw new KeyheadsError("BAD_ITEMS", `${source} has no items: it is empty`);
  }
  if (items.length === 0 || (options.strict && dropped.length > 0)) {
    throw new KeyheadsError("BAD_ITEMS", complaint(source, items.length, dropped, options));
  }
  return { name, items, dropped };
}

const shown = 5;

function complaint(
  source: string,
  usable: number,
  dropped: readonly Dropped[],
  options: ReadItemsOptions,
): string {
  const what =
    usable === 0
      ? `${source}: none of the ${dropped.length} lines can be used`
      : `${source}: ${dropped.length} of ${usable + dropped.length} lines cannot be used` +
        (options.strict ? " (strict)" : "");
  const reasons = dropped.slice(0, shown).map(({ line, why }) => `  line ${line}: ${why}`);
  const more = dropped.length - shown;
  return [`${what}:`, ...reasons, ...(more > 0 ? [`  and ${more} more`] : [])].join("\n");
}

/** Lines by number; blank ones are left out, a byte order mark and CRLF are understood. */
function* linesOf(bytes: Buffer): Generator<Source> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let start = bytes.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? 3 : 0;
  for (let number = 1; start < bytes.length; ++number) {
    const newline = bytes.indexOf(10, start);
    const stop = newline < 0 ? bytes.length : newline;
    const line = bytes.subarray(start, stop);
    start = stop + 1;
    if (line.every((byte) => byte === 32 || byte === 9 || byte === 13)) continue;
    yield {
      number,
      read() {
        let text: string;
        try {
          text = decoder.decode(line);
        } catch {
          throw bad("not UTF-8 text");
        }
        return parseLine(text);
      },
    };
  }
}
