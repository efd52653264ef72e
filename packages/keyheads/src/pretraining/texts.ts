// English for pretraining: plain-text books, each with the part that is held out.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { KeyheadsError } from "../errors.ts";

export interface TextSource {
  /** Relative to the config file. */
  readonly file: string;
  /** The line on which the held-out part begins; "all" holds out the whole text. */
  readonly heldOutFrom: string;
}

export interface SplitText {
  readonly name: string;
  readonly trained: string;
  readonly heldOut: string;
}

/** Reads and splits. Throws BAD_ITEMS for a file that cannot be read or has no such line. */
export async function readTexts(
  sources: readonly TextSource[],
  folder: string,
): Promise<SplitText[]> {
  return await Promise.all(
    sources.map(async ({ file, heldOutFrom }) => {
      const path = resolve(folder, file);
      const text = await readFile(path, "utf8").catch((cause: Error) => {
        throw new KeyheadsError("BAD_ITEMS", `cannot read the text ${path}: ${cause.message}`, {
          cause,
        });
      });
      return { name: file, ...splitText(bookOf(text), heldOutFrom, path) };
    }),
  );
}

/** What lies between Project Gutenberg's marks; without them the whole text. Lines end in \n. */
export function bookOf(text: string): string {
  const lines = text.replace(/^\ufeff/, "").replaceAll("\r\n", "\n");
  const start = /^\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG.*\n/m.exec(lines);
  const from = start ? start.index + start[0].length : 0;
  const stop = lines
    .slice(from)
    .search(/^(\*\*\* ?END OF (THE|THIS) PROJECT|End of (the )?Project)/m);
  return lines.slice(from, stop < 0 ? undefined : from + stop).trim();
}

function splitText(text: string, heldOutFrom: string, path: string) {
  if (heldOutFrom === "all") return { trained: "", heldOut: text };
  const at = text.lastIndexOf(`\n${heldOutFrom}\n`);
  if (at >= 0) return { trained: text.slice(0, at + 1), heldOut: text.slice(at + 1) };
  throw new KeyheadsError(
    "BAD_ITEMS",
    `${path} has no line ${JSON.stringify(heldOutFrom)}, on which its held-out part should begin`,
  );
}
