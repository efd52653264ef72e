/** Attention of the last token, split by the role of the token it goes to: one bar per head. */
import * as Plot from "@observablehq/plot";
import { type Palette, roleTitle } from "../colors.ts";
import { type Html, html } from "../html.ts";
import type { AttendResult } from "../results.ts";
import { isNumber, percent, percentRange } from "../text/numbers.ts";
import { clip, draw, textWidth } from "./draw.ts";
import { legend, responsive } from "./figure.ts";

interface Segment {
  readonly head: string;
  readonly role: string;
  readonly x1: number;
  readonly x2: number;
  readonly low: number;
  readonly high: number;
}

export function attentionChart(result: AttendResult, colors: Palette): Html {
  const items = [...colors].map(([role, color]) => ({
    label: roleTitle(role),
    color,
    mark: "area" as const,
  }));
  return html`${legend(items)}
${responsive((width) => bars(result, colors, width), 680)}`;
}

function segments(result: AttendResult, roles: readonly string[]): Segment[] {
  return result.heads.flatMap(({ head, roles: shares }) => {
    let x = 0;
    return roles.flatMap((role) => {
      const value = shares[role];
      if (!value || !isNumber(value.mean)) return [];
      const x1 = x;
      x += value.mean;
      const low = isNumber(value.low) ? x - (value.mean - value.low) : x;
      const high = isNumber(value.high) ? x + (value.high - value.mean) : x;
      return [{ head, role, x1, x2: x, low, high }];
    });
  });
}

function bars(result: AttendResult, colors: Palette, width: number): Html {
  const all = segments(result, [...colors.keys()]);
  const types = new Map(result.heads.map(({ head, type }) => [head, type]));
  const widest = Math.max(0, ...result.heads.map((h) => textWidth(h.type)));
  const marginLeft = Math.min(140, Math.max(40, widest + 14));
  const pixels = width - marginLeft - 16;
  const wide = (d: Segment) => (d.x2 - d.x1) * pixels > 34;
  const strongest = all.reduce<Segment | undefined>(
    (best, d) => (!best || d.x2 - d.x1 > best.x2 - best.x1 ? d : best),
    undefined,
  );
  return draw({
    width,
    height: result.heads.length * 42 + 48,
    title: "Attention by role",
    description: strongest
      ? `Head ${strongest.head} gives ${percent(strongest.x2 - strongest.x1)} of its attention to ${roleTitle(strongest.role)}, the largest share.`
      : "No shares.",
    marginLeft,
    marginRight: 16,
    marginTop: 4,
    marginBottom: 42,
    x: {
      domain: [0, Math.max(1, ...all.map((d) => d.x2))],
      label: "share of the attention of the last token",
      labelAnchor: "center",
      labelArrow: "none",
      tickFormat: (v: number) => percent(v, 0),
      ticks: 5,
    },
    y: { domain: result.heads.map((h) => h.head), axis: null, padding: 0.2 },
    marks: [
      Plot.axisY({
        label: null,
        tickSize: 0,
        tickFormat: (head: string) =>
          `${head}\n${clip(roleTitle(types.get(head) ?? ""), marginLeft - 10)}`,
      }),
      Plot.barX(all, {
        y: "head",
        x1: "x1",
        x2: "x2",
        fill: (d: Segment) => colors.get(d.role) ?? "var(--muted)",
        stroke: "var(--surface)",
        strokeWidth: 1,
        title: (d: Segment) => {
          const mean = d.x2 - d.x1;
          const interval = percentRange(mean - (d.x2 - d.low), mean + (d.high - d.x2));
          return `Head ${d.head}, ${roleTitle(d.role)}: ${percent(mean)} (${interval})`;
        },
      }),
      Plot.ruleY(all, {
        y: "head",
        x1: "low",
        x2: "high",
        stroke: "var(--on-role)",
        strokeWidth: 1.5,
        dy: 8,
      }),
      Plot.text(all.filter(wide), {
        y: "head",
        x: (d: Segment) => (d.x1 + d.x2) / 2,
        text: (d: Segment) => percent(d.x2 - d.x1, 0),
        dy: -3,
        fill: "var(--on-role)",
        pointerEvents: "none",
      }),
    ],
  });
}
