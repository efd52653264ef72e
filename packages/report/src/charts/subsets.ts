/** How much every set of heads costs the task beyond the control: one histogram per set size. */
import * as Plot from "@observablehq/plot";
import { type Html, html } from "../html.ts";
import type { SizeGroup } from "../subset-ranks.ts";
import { count, plural, points } from "../text/numbers.ts";
import { draw } from "./draw.ts";
import { legend, responsive } from "./figure.ts";

interface Bin {
  readonly size: number;
  readonly x1: number;
  readonly x2: number;
  readonly height: number;
  readonly n: number;
}

const rowHeight = 92;

export function subsetChart(groups: readonly SizeGroup[], axis: string): Html {
  return html`${legend([
    { label: "all sets of this size", color: "var(--c-random)", mark: "area" },
    { label: "the strongest heads by direct effect", color: "var(--c-key)", mark: "triangle" },
  ])}
${responsive((width) => histograms(groups, axis, width), 680)}`;
}

function histograms(groups: readonly SizeGroup[], axis: string, width: number): Html {
  const drops = groups.flatMap((g) => g.drops.map((s) => s.drop * 100));
  const from = Math.min(0, ...drops);
  const to = Math.max(1, ...drops);
  const bins = groups.flatMap((g) => binned(g, from, to, width > 500 ? 60 : 34));
  const keys = groups.flatMap((g) => (g.key ? [{ size: g.size, ...g.key }] : []));
  const label = (g: SizeGroup) => `${plural(g.size, "head")}: ${plural(g.drops.length, "set")}`;
  const first = keys.at(-1);
  return draw({
    width,
    height: rowHeight * Math.max(1, groups.length) + 44,
    title: "Every small set of heads",
    description: first
      ? `Among sets of ${first.size}, ${first.heads.join(", ")} rank ${first.rank}.`
      : "The strongest heads are not among the sets.",
    marginLeft: 12,
    marginRight: 16,
    marginTop: 6,
    marginBottom: 40,
    x: { domain: [from, to], label: axis, labelAnchor: "center", labelArrow: "none", ticks: 6 },
    y: { domain: [0, 1.75], axis: null },
    fy: { domain: groups.map((g) => g.size), axis: null, padding: 0.06 },
    marks: [
      Plot.gridX({ ticks: 6, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.rect(bins, {
        fy: "size",
        x1: "x1",
        x2: "x2",
        y1: 0,
        y2: "height",
        inset: 0.5,
        fill: "var(--c-random)",
        title: (b: Bin) =>
          `${plural(b.n, "set")} between ${b.x1.toFixed(1)} and ${b.x2.toFixed(1)} points`,
      }),
      Plot.ruleY(groups, { fy: "size", y: 0, stroke: "var(--muted)", strokeWidth: 0.75 }),
      Plot.text(groups, {
        fy: "size",
        text: label,
        frameAnchor: "top-right",
        fill: "var(--muted)",
        dy: 2,
      }),
      Plot.ruleX(keys, {
        fy: "size",
        x: (d: Key) => d.drop * 100,
        y1: 0,
        y2: 1.12,
        stroke: "var(--c-key)",
        strokeWidth: 2,
        title: keyTitle,
      }),
      Plot.dot(keys, {
        fy: "size",
        x: (d: Key) => d.drop * 100,
        y: 1.12,
        symbol: "triangle",
        rotate: 180,
        r: 5,
        fill: "var(--c-key)",
        title: keyTitle,
      }),
      ...keyLabels(keys, from, to),
    ],
  });
}

type Key = NonNullable<SizeGroup["key"]> & { readonly size: number };

/** Beside its mark, on the side that has room. */
function keyLabels(keys: readonly Key[], from: number, to: number): Plot.Markish[] {
  const right = (d: Key) => d.drop * 100 > (from + to) / 2;
  const text = (d: Key) => `${d.heads.join(", ")}: rank ${count(d.rank)}`;
  return ([true, false] as const).map((side) =>
    Plot.text(
      keys.filter((d) => right(d) === side),
      {
        fy: "size",
        x: (d: Key) => d.drop * 100,
        y: 1.12,
        text,
        textAnchor: side ? "end" : "start",
        dx: side ? -8 : 8,
        fill: "var(--ink)",
      },
    ),
  );
}

function keyTitle(d: Key): string {
  return `${d.heads.join(", ")}: ${points(d.drop)} points, rank ${d.rank}`;
}

function binned(group: SizeGroup, from: number, to: number, n: number): Bin[] {
  const step = (to - from) / n;
  const counts = new Array<number>(n).fill(0);
  for (const { drop } of group.drops) {
    const at = Math.min(n - 1, Math.max(0, Math.floor((drop * 100 - from) / step)));
    counts[at] = (counts[at] ?? 0) + 1;
  }
  const most = Math.max(1, ...counts);
  return counts.flatMap((value, i) =>
    value === 0
      ? []
      : [
          {
            size: group.size,
            x1: from + i * step,
            x2: from + (i + 1) * step,
            height: value / most,
            n: value,
          },
        ],
  );
}
