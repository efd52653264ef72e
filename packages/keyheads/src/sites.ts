// From sites as users write them (hook names, positions, items) to sites as the engine takes them
// (ids, packed rows).
import type { Batch, Edit, FloatArray, ModelDtype, ModelSpec, Site } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import { type HookPoint, headsOf, parseHook, widthOf } from "./hooks.ts";

/** A place in the network: a hook, perhaps some heads of it, perhaps some rows. */
export interface SiteOptions {
  /** Full name, as `hooks.z(3)` gives it, or TransformerLens v3's. */
  readonly hook: string;
  /**
   * Query head, or key/value group at hooks that have those (query head h reads group
   * h / (heads / groups)), or expert; absent is all. The value loses its axis of heads.
   */
  readonly head?: number;
  /** Several heads, or groups, ascending. The value keeps its axis of heads. */
  readonly heads?: readonly number[];
  /** Numbers of every row (and head), ascending: single neurons. Not of scores and patterns. */
  readonly columns?: readonly number[];
  /** Packed rows, ascending; absent is all, or what `positions` and `items` say. */
  readonly rows?: Int32Array;
  /**
   * "end" is the last row of every sequence. Numbers are positions in the whole sequence, ascending;
   * every chosen item must have them.
   */
  readonly positions?: "all" | "end" | readonly number[];
  /** Indices of sequences, ascending; absent is all. */
  readonly items?: readonly number[];
  /**
   * Only while generating: positions of these steps. Step 0 reads the prompt, step n the n-th new
   * token.
   */
  readonly steps?: readonly number[];
}

/**
 * An intervention: what `op` does to the value x at the site.
 * zero 0; set value; add x + value; scale factor x; mean over the selected rows of this batch;
 * interpolate (1 - factor) x + factor value. `value` has the size of the selection
 * [rows, heads, width], of one row of it, or one element.
 */
export interface HookEdit extends SiteOptions {
  readonly op: Exclude<Edit["op"], "call">;
  readonly value?: FloatArray | number;
  readonly factor?: number;
}

/** Where the rows of a batch stand in sequences that are being generated. */
export interface Placement {
  /** Position of each sequence's first row: what the cache holds of it already. */
  readonly starts: readonly number[];
  /** Lengths of the prompts. */
  readonly prompts: readonly number[];
  /** Sequences that have ended: their rows only fill the batch. */
  readonly finished: readonly boolean[];
  /** Positions before these are left out: an earlier step has shown them. */
  readonly fresh?: readonly number[];
  /** What has had a row so far. */
  readonly fired: Set<SiteOptions>;
}

/** A site's chosen rows (absent: all) and heads, checked against model and batch. */
export interface Selected {
  readonly point: HookPoint;
  readonly site: Site;
}

export function selectSite(
  options: SiteOptions,
  spec: ModelSpec,
  batch: Batch,
  placement?: Placement,
): Selected {
  const point = parseHook(options.hook, spec);
  checkHeads(options, point, spec);
  const { heads, columns } = options;
  const head = point.head ?? options.head ?? -1;
  checkColumns(columns, point, spec);
  const rows = rowsOf(options, spec, batch, placement);
  if (rows?.length !== 0) placement?.fired.add(options);
  const site = {
    hook: point.info.id,
    layer: point.layer,
    head,
    ...(heads && { heads: Int32Array.from(heads) }),
    ...(columns && { columns: Int32Array.from(columns) }),
    ...(rows && { rows }),
  };
  return { point, site };
}

export function toSite(options: SiteOptions, spec: ModelSpec, batch: Batch): Site {
  return selectSite(options, spec, batch).site;
}

export function toEdit(
  edit: HookEdit,
  spec: ModelSpec,
  batch: Batch,
  dtype: ModelDtype,
  placement?: Placement,
): Edit {
  checkEdit(edit);
  const { op, value, factor } = edit;
  return {
    ...selectSite(edit, spec, batch, placement).site,
    op,
    ...(value !== undefined && { value: toFloats(value, dtype) }),
    ...(factor !== undefined && { factor }),
  };
}

/** Whether an edit has what its operation needs. */
export function checkEdit({
  hook,
  op,
  value,
  factor,
}: Pick<HookEdit, "hook" | "op" | "factor"> & { readonly value?: unknown }): void {
  if ((op === "set" || op === "add" || op === "interpolate") && value === undefined) {
    throw new KeyheadsError("BAD_ARGUMENT", `edit "${op}" at ${hook} needs a value`);
  }
  if ((op === "scale" || op === "interpolate") && factor === undefined) {
    throw new KeyheadsError("BAD_ARGUMENT", `edit "${op}" at ${hook} needs a factor`);
  }
}

/** Values in the type that the model computes in; those that have it already are passed on, not copied. */
export function toFloats(value: FloatArray | number, dtype: ModelDtype): FloatArray {
  const values = typeof value === "number" ? [value] : value;
  if (dtype === "f64") return values instanceof Float64Array ? values : Float64Array.from(values);
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

/** Throws BAD_ARGUMENT for heads that the hook does not have. */
export function checkHeads(
  { hook, head, heads }: SiteOptions,
  { info, head: named }: Pick<HookPoint, "info" | "head">,
  spec: ModelSpec,
): void {
  if (named !== undefined && (head !== undefined || heads)) {
    throw new KeyheadsError("BAD_ARGUMENT", `${hook} names its expert; give no head or heads`);
  }
  if (head !== undefined && heads) {
    throw new KeyheadsError("BAD_ARGUMENT", `${hook}: give head or heads, not both`);
  }
  const count = headsOf(info, spec);
  for (const [i, chosen] of (heads ?? (head === undefined ? [] : [head])).entries()) {
    if (!(Number.isInteger(chosen) && chosen >= 0 && chosen < count)) {
      const what = { kv: "key/value groups", expert: "experts", query: "heads", none: "heads" }[
        info.heads
      ];
      const why = count === 0 ? "it has no heads" : `its ${what} are 0 to ${count - 1}`;
      throw new KeyheadsError("BAD_ARGUMENT", `${hook} has no head ${chosen}: ${why}`);
    }
    if (heads && i > 0 && chosen <= (heads[i - 1] as number)) {
      throw new KeyheadsError("BAD_ARGUMENT", `${hook}: heads must ascend, found ${heads}`);
    }
  }
}

function checkColumns(
  columns: readonly number[] | undefined,
  { info, name }: HookPoint,
  spec: ModelSpec,
): void {
  if (!columns) return;
  if (info.rows === "pattern") {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${name}: its rows differ in length, so there are no columns to choose; leave columns out`,
    );
  }
  ascending(columns, `${name}: columns`, widthOf(info, spec));
}

function rowsOf(
  options: SiteOptions,
  spec: ModelSpec,
  batch: Batch,
  placement: Placement | undefined,
): Int32Array | undefined {
  const { hook, rows, positions = "all", items, steps } = options;
  if (rows) {
    if (items || positions !== "all") {
      throw new KeyheadsError("BAD_ARGUMENT", `${hook}: give rows, or positions and items`);
    }
    checkRows(rows, batch, hook);
    return rows;
  }
  if (steps && !placement) {
    throw new KeyheadsError("BAD_ARGUMENT", `${hook}: steps are of generations; this is one run`);
  }
  const running = placement && (placement.fresh || placement.finished.some(Boolean));
  if (positions === "all" && !items && !steps && !running) return undefined;
  const count = batch.offsets.length - 1;
  const chosen = ascending(items, `${hook}: items`, count) ?? [...Array(count).keys()];
  ascending(steps, `${hook}: steps`, Number.POSITIVE_INFINITY);
  if (typeof positions === "object") ascending(positions, `${hook}: positions`, spec.context);
  const wanted = placement
    ? (item: number, p: number) => inGeneration(options, placement, item, p)
    : (item: number, p: number) => inSequence(positions, lengthOf(batch, item), p);
  const out: number[] = [];
  for (const item of chosen) {
    if (placement?.finished[item]) continue;
    const [first, length] = [batch.offsets[item] as number, lengthOf(batch, item)];
    if (!placement && typeof positions === "object") {
      const beyond = positions.find((p) => p >= length);
      if (beyond !== undefined) {
        throw new KeyheadsError(
          "BAD_ARGUMENT",
          `${hook}: item ${item} has no position ${beyond}, it has ${length} tokens; restrict items`,
        );
      }
    }
    const start = placement?.starts[item] ?? 0;
    for (let k = 0; k < length; ++k) if (wanted(item, start + k)) out.push(first + k);
  }
  return Int32Array.from(out);
}

const lengthOf = ({ offsets }: Batch, item: number) =>
  (offsets[item + 1] as number) - (offsets[item] as number);

function inSequence(positions: "all" | "end" | readonly number[], length: number, p: number) {
  if (positions === "all") return true;
  return positions === "end" ? p === length - 1 : positions.includes(p);
}

/** "end" is the prompt's last position and every one after it. */
function inGeneration(
  { positions = "all", steps }: SiteOptions,
  { prompts, fresh }: Placement,
  item: number,
  p: number,
): boolean {
  const last = (prompts[item] as number) - 1;
  if (p < (fresh?.[item] ?? 0) || (steps && !steps.includes(Math.max(0, p - last)))) return false;
  if (positions === "all") return true;
  return positions === "end" ? p >= last : positions.includes(p);
}

/** Throws BAD_ARGUMENT unless the numbers are whole, ascend, and lie below the limit. */
function ascending(values: readonly number[] | undefined, what: string, limit: number) {
  for (const [i, value] of (values ?? []).entries()) {
    const low = i === 0 ? 0 : (values?.[i - 1] as number) + 1;
    if (Number.isInteger(value) && value >= low && value < limit) continue;
    const below = limit === Number.POSITIVE_INFINITY ? "" : ` to ${limit - 1}`;
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${what}: ${value} (entry ${i}); expected whole numbers, ascending, from 0${below}`,
    );
  }
  return values;
}

function checkRows(rows: Int32Array, batch: Batch, where: string): void {
  for (const [i, row] of rows.entries()) {
    if (row < 0 || row >= batch.tokens.length || (i > 0 && row <= (rows[i - 1] as number))) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `${where}: row ${row} (entry ${i}); rows ascend, without repeats, from 0 to ${batch.tokens.length - 1}`,
      );
    }
  }
}
