/** What the tests ask of a rendered page. */
import { createRequire } from "node:module";
import { renderReport } from "../../packages/report/src/index.ts";
import type { RunResult } from "../../packages/report/src/results.ts";

// The report's own dependency, found from where it is installed.
const { parseHTML } = createRequire(new URL("../../packages/report/package.json", import.meta.url))(
  "linkedom",
) as { parseHTML(html: string): { document: Document } };

export interface Page {
  readonly html: string;
  readonly document: Document;
  /** Everything that a reader sees, without style and script. */
  readonly text: string;
}

interface Node {
  readonly tagName: string;
  readonly id: string;
  readonly textContent: string;
  readonly outerHTML: string;
  getAttribute(name: string): string | null;
  remove(): void;
  querySelector(selector: string): Node | null;
  querySelectorAll(selector: string): Iterable<Node>;
}
export interface Document extends Node {
  readonly body: Node;
}

export function parse(html: string): Page {
  const { document } = parseHTML(html);
  const readable = parseHTML(html).document;
  for (const part of [...readable.querySelectorAll("style, script")]) part.remove();
  return { html, document, text: readable.body.textContent };
}

export function render(run: RunResult): Page {
  return parse(renderReport(run));
}

/** All matches as an array. */
export function all(page: Page, selector: string): Node[] {
  return [...page.document.querySelectorAll(selector)];
}

/** Tags of HTML that have no end. */
const empty = new Set(["meta", "link", "br", "input", "!doctype"]);

/** The first tag that is not closed, or closed without having been opened; undefined if none. */
export function unbalanced(html: string): string | undefined {
  const body = html.replace(/<(style|script)>[\s\S]*?<\/\1>/g, "");
  const open: string[] = [];
  for (const [tag, close, name = "", self] of body.matchAll(
    /<(\/?)([a-z!][\w]*)\b[^>]*?(\/?)>/gi,
  )) {
    const lower = name.toLowerCase();
    if (self || empty.has(lower)) continue;
    if (!close) open.push(lower);
    else if (open.pop() !== lower) return tag;
  }
  return open.at(-1);
}
