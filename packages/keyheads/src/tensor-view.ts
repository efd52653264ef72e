// Shaped views of flat arrays, and how the chosen part of a hook point's value is laid out.
import type { Batch, FloatArray, ModelSpec, Site } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import { type HookPoint, headsOf, widthOf } from "./hooks.ts";

/** Numbers of an array, row-major, with their shape; no copy. */
export class TensorView {
  readonly values: FloatArray;
  readonly shape: readonly number[];

  constructor(values: FloatArray, shape: readonly number[]) {
    this.values = values;
    this.shape = shape;
  }

  /** One number, by an index for every dimension. */
  at(...index: readonly number[]): number {
    if (index.length !== this.shape.length) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `[${index}] does not name one number of shape [${this.shape}]`,
      );
    }
    return this.values[this.#offset(index)] as number;
  }

  /** The part below leading indices: `sub(2)` of [p, heads, e] is [heads, e]. */
  sub(...index: readonly number[]): TensorView {
    const shape = this.shape.slice(index.length);
    const size = product(shape);
    const start = this.#offset(index);
    return new TensorView(this.values.subarray(start, start + size), shape);
  }

  #offset(index: readonly number[]): number {
    let offset = 0;
    for (const [axis, length] of this.shape.entries()) {
      const at = index[axis] ?? 0;
      if (!(Number.isInteger(at) && at >= 0 && at < length) || index.length > this.shape.length) {
        throw new KeyheadsError("BAD_ARGUMENT", `[${index}] is outside of shape [${this.shape}]`);
      }
      offset = offset * length + at;
    }
    return offset;
  }
}

export const product = (shape: readonly number[]): number => shape.reduce((size, n) => size * n, 1);

/** How the value of one site is laid out over the items of a batch. */
export class Layout {
  readonly point: HookPoint;
  /** Of the whole selection: [rows, heads, width] or [rows, width]; patterns are flat, [numbers]. */
  readonly shape: readonly number[];
  readonly size: number;
  /** Where each item's chosen rows begin; one longer than the items. */
  readonly offsets: Int32Array;
  /** Position of every chosen row in its whole sequence. */
  readonly positions: Int32Array;
  readonly #site: Site;
  readonly #place: { spec: ModelSpec; batch: Batch; starts?: readonly number[] };
  /** Of each item, where its numbers begin, and their shape. */
  readonly #items: readonly { readonly start: number; readonly shape: readonly number[] }[];

  /** `starts`: the positions of the items' first rows, 0 if absent. */
  constructor(
    point: HookPoint,
    site: Site,
    { spec, batch, starts }: { spec: ModelSpec; batch: Batch; starts?: readonly number[] },
  ) {
    this.point = point;
    this.#site = site;
    this.#place = { spec, batch, ...(starts && { starts }) };
    const { offsets } = batch;
    const count = offsets.length - 1;
    const rows = site.rows ?? Int32Array.from(batch.tokens.keys());
    this.offsets = new Int32Array(count + 1);
    this.positions = new Int32Array(rows.length);
    for (let item = 0, next = 0; item < count; ++item) {
      const [first, end] = [offsets[item] as number, offsets[item + 1] as number];
      for (; next < rows.length && (rows[next] as number) < end; ++next) {
        this.positions[next] = (rows[next] as number) - first + (starts?.[item] ?? 0);
      }
      this.offsets[item + 1] = next;
    }
    const total = headsOf(point.info, spec);
    const heads = site.heads?.length ?? (site.head < 0 ? total : 1);
    const axis = total === 0 || site.head >= 0 ? [] : [heads];
    const width = site.columns?.length ?? widthOf(point.info, spec);
    const isPattern = point.info.rows === "pattern";
    let start = 0;
    this.#items = Array.from({ length: count }, (_, item) => {
      const n = (this.offsets[item + 1] as number) - (this.offsets[item] as number);
      const keys =
        (offsets[item + 1] as number) - (offsets[item] as number) + (starts?.[item] ?? 0);
      const shape = isPattern ? [...axis, n, keys] : [n, ...axis, width];
      const part = { start, shape };
      start += product(shape);
      return part;
    });
    this.size = start;
    this.shape = isPattern ? [this.size] : [rows.length, ...axis, width];
  }

  get items(): number {
    return this.#items.length;
  }

  /** Of the values of all heads (experts), those of the one that `point` names, and their layout. */
  ofHead(point: HookPoint, values: FloatArray): [Layout, FloatArray] {
    const head = point.head ?? 0;
    const part = new Layout(point, { ...this.#site, head }, this.#place);
    const width = this.shape.at(-1) as number;
    const stride = width * (this.shape[1] as number);
    const out = values.slice(0, part.size);
    for (let row = 0; row * width < part.size; ++row) {
      const from = row * stride + head * width;
      out.set(values.subarray(from, from + width), row * width);
    }
    return [part, out];
  }

  /** One item's part of the values: [rows, heads, width], patterns [heads, query, key]. */
  item(values: FloatArray, index: number): TensorView {
    const part = this.#items[index];
    if (!part) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `there is no item ${index}; the batch has items 0 to ${this.items - 1}`,
      );
    }
    return new TensorView(
      values.subarray(part.start, part.start + product(part.shape)),
      part.shape,
    );
  }
}
