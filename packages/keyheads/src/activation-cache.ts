// Captures of many hook points of one run, by name, with a view for every item.
import type { Batch, FloatArray, ModelSpec, Site } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import { type HookInfo, type HookPoint, hooks, listHooks, parseHook } from "./hooks.ts";
import type { SiteOptions } from "./sites.ts";
import { Layout, type TensorView } from "./tensor-view.ts";

/** Names (or TransformerLens v3's), a pattern, a predicate on names, or several of these. */
export type HookFilter =
  | string
  | RegExp
  | ((name: string) => boolean)
  | readonly (string | RegExp | ((name: string) => boolean))[];

/** What one hook point held. */
export class CachedActivation {
  readonly name: string;
  readonly layer: number;
  /** Of all items, packed: [rows, heads, width] or [rows, width]; patterns are flat, see `item`. */
  readonly values: FloatArray;
  readonly #layout: Layout;

  constructor(layout: Layout, values: FloatArray) {
    this.name = layout.point.name;
    this.layer = layout.point.layer;
    this.values = values;
    this.#layout = layout;
  }

  get shape(): readonly number[] {
    return this.#layout.shape;
  }
  /** Which of the rows belong to each item; one longer than the items. */
  get offsets(): Int32Array {
    return this.#layout.offsets;
  }
  /** Position of every row in its sequence. */
  get positions(): Int32Array {
    return this.#layout.positions;
  }
  /** A copy of what one expert's point held, where this is that of all experts. */
  expert(point: HookPoint): CachedActivation {
    return new CachedActivation(...this.#layout.ofHead(point, this.values));
  }
  /** One item's part, not copied: [rows, heads, width], scores and patterns [heads, query, key]. */
  item(index: number): TensorView {
    return this.#layout.item(this.values, index);
  }
}

/** Activations by the canonical name of their hook point, in the order of the computation. */
export class ActivationCache implements Iterable<readonly [string, CachedActivation]> {
  readonly #spec: ModelSpec;
  readonly #byName: ReadonlyMap<string, CachedActivation>;

  /** Use `model.runWithCache`. */
  constructor(spec: ModelSpec, activations: readonly CachedActivation[]) {
    this.#spec = spec;
    this.#byName = new Map(activations.map((activation) => [activation.name, activation]));
  }

  get names(): string[] {
    return [...this.#byName.keys()];
  }
  get size(): number {
    return this.#byName.size;
  }
  /** By its name or TransformerLens v3's. Throws UNKNOWN_HOOK if the run did not keep it. */
  get(hook: string): CachedActivation {
    const point = parseHook(hook, this.#spec);
    const { name } = point;
    const found = this.#byName.get(name);
    if (found) return found;
    const whole = this.#byName.get(name.replace(/\.experts\.\d+\./, ".experts."));
    if (whole) return whole.expert(point);
    throw new KeyheadsError(
      "UNKNOWN_HOOK",
      `${name} was not kept in this run, which kept ${this.size} hook points; name it in names`,
    );
  }
  has(hook: string): boolean {
    const { name } = parseHook(hook, this.#spec);
    return (
      this.#byName.has(name) || this.#byName.has(name.replace(/\.experts\.\d+\./, ".experts."))
    );
  }
  [Symbol.iterator](): Iterator<readonly [string, CachedActivation]> {
    return this.#byName.entries();
  }
}

/** Layers that a run computes: [first, last), with the embeddings and with the logits. */
export interface ComputedRange {
  readonly first: number;
  readonly last: number;
  readonly embeds: boolean;
  readonly reads: boolean;
}

/** The hook points that a filter means: of those that are computed, all without a filter. */
export function filterHooks(
  filter: HookFilter | undefined,
  spec: ModelSpec,
  range: ComputedRange,
): HookPoint[] {
  const computed = listHooks(spec)
    .map((name) => parseHook(name, spec))
    .filter(({ id, layer }) => {
      if (layer >= 0) return layer >= range.first && layer < range.last;
      return id === "embed" || id === "pos_embed" ? range.embeds : range.reads;
    });
  if (filter === undefined) return inOrder(computed);
  const chosen = new Map<string, HookPoint>();
  for (const part of Array.isArray(filter) ? filter : [filter]) {
    const matches =
      typeof part === "string"
        ? [parseHook(part, spec)]
        : computed.filter(({ name }) =>
            part instanceof RegExp ? matchesAll(part, name) : part(name),
          );
    if (matches.length === 0) {
      throw new KeyheadsError(
        "UNKNOWN_HOOK",
        `names: ${part} matches none of the ${computed.length} hook points of this run, such as ${hooks.z(range.first)}`,
      );
    }
    for (const point of matches) chosen.set(point.name, point);
  }
  return inOrder([...chosen.values()]);
}

/** A pattern with the flag g remembers where it stopped. */
function matchesAll(pattern: RegExp, name: string): boolean {
  pattern.lastIndex = 0;
  return pattern.test(name);
}

/** Embeddings, layer by layer, final norm. */
function inOrder(points: readonly HookPoint[]): HookPoint[] {
  const rank = ({ id, layer }: HookPoint) =>
    layer >= 0 ? layer : id === "embed" || id === "pos_embed" ? -1 : Number.POSITIVE_INFINITY;
  return [...points].sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    return x === y ? a.info.id - b.info.id : x < y ? -1 : 1;
  });
}

/** Sites of hook points: the restriction to heads is dropped at those that have none (or experts). */
export function sitesOf(
  points: readonly HookPoint[],
  where: Omit<SiteOptions, "hook">,
): SiteOptions[] {
  const { head, heads, ...rest } = where;
  return points.map(({ name, info }) => ({
    hook: name,
    ...rest,
    ...(ofAttention(info) && head !== undefined && { head }),
    ...(ofAttention(info) && heads && { heads }),
  }));
}

const ofAttention = ({ heads }: HookInfo) => heads === "query" || heads === "kv";

export function layoutsOf(
  points: readonly HookPoint[],
  sites: readonly Site[],
  place: { spec: ModelSpec; batch: Batch; starts?: readonly number[] },
): Layout[] {
  return points.map((point, i) => new Layout(point, sites[i] as Site, place));
}
