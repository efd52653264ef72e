/** The frame around a chart: legend above, caption below, the numbers behind a disclosure. */
import { type Content, type Html, html, raw } from "../html.ts";

export interface Figure {
  readonly chart: Content;
  readonly title?: Content;
  readonly legend?: Content;
  /** A colour scale, which belongs under its map. */
  readonly scale?: Content;
  readonly caption?: Content;
  /** The same data as a table, for readers who cannot or would rather not read the picture. */
  readonly table?: Html | undefined;
  readonly tableLabel?: string;
  readonly className?: string;
}

export function figure(parts: Figure): Html {
  return html`<figure${parts.className ? html` class="${parts.className}"` : null}>
${parts.title ? html`<p class="figure-title">${parts.title}</p>` : null}
${parts.legend}
${parts.chart}
${parts.scale}
${parts.caption ? html`<figcaption>${parts.caption}</figcaption>` : null}
${parts.table ? disclosure(parts.tableLabel ?? "Show the numbers", parts.table) : null}
</figure>`;
}

export function disclosure(summary: Content, body: Content): Html {
  return html`<details class="more"><summary>${summary}</summary>${body}</details>`;
}

/** A box that scrolls sideways by itself when its chart or table is wider than the page. */
export function scrollBox(label: string, content: Content): Html {
  return html`<div class="scroll" role="group" tabindex="0" aria-label="${label}">${content}</div>`;
}

export const wideWidth = 760;
export const narrowWidth = 340;

/** The same chart drawn for wide and for narrow pages; the style sheet shows one of them. */
export function responsive(chart: (width: number) => Html, wide = wideWidth): Html {
  return html`<div class="for-wide">${chart(wide)}</div>
<div class="for-narrow">${chart(narrowWidth)}</div>`;
}

export interface LegendItem {
  readonly label: string;
  readonly color: string;
  readonly mark:
    | "area"
    | "line"
    | "dashed"
    | "dot"
    | "ring"
    | "square"
    | "triangle"
    | "diamond"
    | "cross"
    | "outline";
}

const swatches: Readonly<Record<LegendItem["mark"], (color: string) => string>> = {
  area: (c) => `<rect x="1" y="1" width="14" height="12" rx="2" fill="${c}"/>`,
  line: (c) => `<path d="M0 7H16" stroke="${c}" stroke-width="2.5"/>`,
  dashed: (c) => `<path d="M0 7H16" stroke="${c}" stroke-width="2.5" stroke-dasharray="5 3"/>`,
  dot: (c) => `<circle cx="8" cy="7" r="4.5" fill="${c}"/>`,
  ring: (c) => `<circle cx="8" cy="7" r="4" fill="none" stroke="${c}" stroke-width="1.5"/>`,
  square: (c) => `<rect x="4" y="3" width="8" height="8" fill="${c}"/>`,
  triangle: (c) => `<path d="M8 2L13 11H3Z" fill="${c}"/>`,
  diamond: (c) => `<path d="M8 0.5L14 7L8 13.5L2 7Z" fill="${c}"/>`,
  cross: (c) => `<path d="M4 3L12 11M12 3L4 11" stroke="${c}" stroke-width="2.5"/>`,
  outline: (c) =>
    `<rect x="2" y="2" width="12" height="10" rx="2" fill="none" stroke="${c}" stroke-width="2"/>`,
};

export function legend(items: readonly LegendItem[]): Html {
  return html`<ul class="legend">${items.map(
    ({ label, color, mark }) =>
      html`<li>${raw(`<svg width="16" height="14" aria-hidden="true">${swatches[mark](color)}</svg>`)}${label}</li>`,
  )}</ul>`;
}
