/**
 * Observable Plot on the server: one options object in, one self-contained <svg> out. Colours are
 * CSS variables of page/style.ts, so that a chart follows the reader's light or dark scheme.
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeHtml, type Html, printable, raw } from "../html.ts";

export interface Drawing extends Plot.PlotOptions {
  readonly width: number;
  readonly height: number;
  /** Read out instead of the picture: what it shows, then what can be seen in it. */
  readonly title: string;
  readonly description: string;
  /** Never scaled down on a narrow page; its frame scrolls instead. */
  readonly keepSize?: boolean;
}

export function draw(drawing: Drawing): Html {
  const { title, description, keepSize = false, ...options } = drawing;
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg = Plot.plot({ ...options, document } as Plot.PlotOptions) as unknown as {
    readonly outerHTML: string;
    querySelector(selector: string): { remove(): void } | null;
  };
  svg.querySelector("style")?.remove();
  // Names of roles or classes come from data and may hold what no document may.
  const markup = printable(svg.outerHTML);
  const open = markup.indexOf(">") + 1;
  const { width, height } = drawing;
  // An explicit size, role and name instead of Plot's own; the rest of the element is Plot's.
  const head =
    `<svg xmlns="http://www.w3.org/2000/svg" class="plot${keepSize ? " keep" : ""}" role="img" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-size="11" text-anchor="middle" fill="currentColor"><title>${escapeHtml(title)}</title>` +
    `<desc>${escapeHtml(description)}</desc>`;
  return raw(head + shorten(markup.slice(open)));
}

/** Two decimals are a hundredth of a pixel; aria labels of axis parts repeat what role="img" hides. */
function shorten(markup: string): string {
  return markup.replace(/<[^>]*>/g, (tag) =>
    tag
      .replace(/ aria-(?:label|hidden)="[^"]*"/g, "")
      .replace(/-?\d+\.\d{3,}(?:e-?\d+)?/g, (n) => String(Math.round(Number(n) * 100) / 100)),
  );
}

/** Cuts a label to about `width` pixels of 11 px text. */
export function clip(text: string, width: number): string {
  const most = Math.max(3, Math.floor(width / 6));
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("")}…`;
}

/** Pixels that 11 px text takes, near enough for a margin. */
export function textWidth(text: string): number {
  return [...text].length * 6.2;
}

/** A round axis around the values: its ticks, about `most` of them, and its ends. */
export function roundAxis(
  values: readonly number[],
  most = 5,
): { ticks: number[]; domain: [number, number] } {
  const low = values.length > 0 ? Math.min(...values) : 0;
  const high = values.length > 0 ? Math.max(...values) : 1;
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = power * ([1, 2, 5, 10].find((s) => span / (s * power) <= most) ?? 10);
  const from = Math.floor(low / step + 1e-9);
  const to = Math.max(from + 1, Math.ceil(high / step - 1e-9));
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => (from + i) * step);
  return { ticks, domain: [from * step, to * step] };
}

/** Whole-number ticks of an axis with `n` places, at most `most` of them. */
export function integerTicks(n: number, most: number): number[] {
  const steps = [1, 2, 4, 5, 8, 10, 20, 50, 100, 200, 500];
  const step = steps.find((s) => Math.ceil(n / s) <= most) ?? Math.ceil(n / most);
  return Array.from({ length: Math.ceil(n / step) }, (_, i) => i * step);
}
