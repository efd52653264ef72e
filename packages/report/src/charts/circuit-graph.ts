/**
 * The circuit as a graph: the embeddings below, the logits above, heads and MLPs by layer between
 * them, and an edge for what one writes and another reads. Drawn by hand, so that the page's script
 * can hide weak edges by the share of the strongest that every edge carries.
 */
import { escapeHtml, type Html, printable, raw } from "../html.ts";
import type { GraphEdge } from "../results-validation.ts";
import { number } from "../text/numbers.ts";

export interface CircuitGraph {
  readonly edges: readonly GraphEdge[];
  /** Names of heads and MLPs that stand out. */
  readonly key: ReadonlySet<string>;
  /** Sign of an effect that helps the answer when it is kept: -1 for differences. */
  readonly harm: 1 | -1;
  readonly width: number;
  readonly title: string;
  readonly description: string;
}

interface Place {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

const rowHeight = 64;
const radius = 15;

export function circuitGraph(graph: CircuitGraph): Html {
  const { edges, width, key, harm } = graph;
  const rows = rowsOf(edges);
  const height = rows.length * rowHeight + 20;
  const places = new Map<string, Place>();
  rows.forEach((row, r) => {
    const step = width / (row.length + 1);
    row.forEach((name, i) => {
      const y = height - 10 - rowHeight / 2 - r * rowHeight;
      places.set(name, { name, x: step * (i + 1), y });
    });
  });
  const largest = Math.max(...edges.map(({ effect }) => Math.abs(effect)), Number.MIN_VALUE);
  // Weak ones first, so that strong ones lie on top.
  const drawn = [...edges]
    .sort((a, b) => Math.abs(a.effect) - Math.abs(b.effect))
    .map((edge) => edgePath(edge, places, { share: Math.abs(edge.effect) / largest, harm }));
  const nodes = [...places.values()].map((place) => nodeMark(place, key.has(place.name)));
  const open =
    `<svg xmlns="http://www.w3.org/2000/svg" class="plot keep circuit-graph" role="img" width="${width}" ` +
    `height="${height}" viewBox="0 0 ${width} ${height}" font-size="11" text-anchor="middle" ` +
    `fill="currentColor"><title>${escapeHtml(graph.title)}</title><desc>${escapeHtml(graph.description)}</desc>`;
  return raw(printable(`${open}${drawn.join("")}${nodes.join("")}</svg>`));
}

/** A receiver's node: "4.0.q" belongs to head 4.0. */
function nodeOf(receiver: string): string {
  return receiver.replace(/\.[qkv]$/, "");
}

/** Nodes side by side, at most. */
export function widestRow(edges: readonly GraphEdge[]): number {
  return Math.max(...rowsOf(edges).map(({ length }) => length));
}

/** From below: the embeddings; heads, then the MLP of every layer; the logits. */
function rowsOf(edges: readonly GraphEdge[]): string[][] {
  const names = new Set(edges.flatMap(({ from, to }) => [from, nodeOf(to)]));
  const order = (name: string): number => {
    if (name === "embed") return -1;
    if (name === "logits") return Number.POSITIVE_INFINITY;
    const mlp = /^mlp (\d+)$/.exec(name);
    return mlp ? 2 * Number(mlp[1]) + 1 : 2 * Number.parseInt(name, 10);
  };
  const byOrder = new Map<number, string[]>();
  for (const name of names) byOrder.set(order(name), [...(byOrder.get(order(name)) ?? []), name]);
  const head = (name: string) => Number(name.split(".")[1] ?? 0);
  return [...byOrder]
    .sort(([a], [b]) => a - b)
    .map(([, row]) => row.sort((a, b) => head(a) - head(b)));
}

function edgePath(
  { from, to, effect }: GraphEdge,
  places: ReadonlyMap<string, Place>,
  { share, harm }: { share: number; harm: 1 | -1 },
): string {
  const [a, b] = [places.get(from), places.get(nodeOf(to))];
  if (!a || !b) return "";
  const input = /\.([qkv])$/.exec(to)?.[1];
  // Queries, keys and values of a head arrive side by side.
  const shift = input === undefined ? 0 : { q: -8, k: 0, v: 8 }[input as "q" | "k" | "v"];
  const [y1, y2] = [a.y - radius, b.y + radius];
  const bend = Math.max(18, (y1 - y2) / 2);
  const path = `M${round(a.x)} ${round(y1)}C${round(a.x)} ${round(y1 - bend)} ${round(b.x + shift)} ${round(y2 + bend)} ${round(b.x + shift)} ${round(y2)}`;
  const color = harm * effect > 0 ? "var(--helps)" : "var(--against)";
  const title = `${from} to ${to}: ${number(effect)}`;
  return (
    `<path d="${path}" fill="none" stroke="${color}" stroke-width="${round(0.6 + 4.4 * share)}" ` +
    `stroke-opacity="${round(0.25 + 0.65 * share)}" data-share="${round(100 * share)}" ` +
    `data-from="${escapeHtml(from)}" data-to="${escapeHtml(nodeOf(to))}"><title>${escapeHtml(title)}</title></path>`
  );
}

function nodeMark({ name, x, y }: Place, key: boolean): string {
  const label = name.replace(/^mlp /, "m");
  const mlp = label !== name;
  const wide = label.length > 4 ? 26 : 18;
  const shape = `x="${round(x - wide)}" y="${y - radius}" width="${2 * wide}" height="${2 * radius}" rx="${mlp ? 4 : radius}"`;
  return (
    `<g data-node="${escapeHtml(name)}"><rect ${shape} fill="var(--surface)" stroke="${key ? "var(--ink)" : "var(--muted)"}" ` +
    `stroke-width="${key ? 2.5 : 1}"/><text x="${round(x)}" y="${y + 4}">${escapeHtml(label)}</text></g>`
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
