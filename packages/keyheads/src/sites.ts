// From sites as users write them (hook names, "end") to sites as the engine takes them (ids, rows).
import type { Batch, Edit, FloatArray, ModelSpec, Site } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import { headsOf, parseHook } from "./hooks.ts";
import { endRows } from "./packing.ts";

/** A place in the network: a hook, perhaps one head of it, perhaps some rows. */
export interface SiteOptions {
  /** Full name, as `hooks.z(3)` gives it. */
  readonly hook: string;
  /** Query head, or key/value head at hooks that have those; absent is all. */
  readonly head?: number;
  /** Packed rows, ascending; absent is all, or what `positions` says. */
  readonly rows?: Int32Array;
  /** "end" is the last row of every sequence. */
  readonly positions?: "all" | "end";
}

/**
 * An intervention: what `op` does to the value x at the site.
 * zero 0; set value; add x + value; scale factor x; mean over the selected rows of this batch;
 * interpolate (1 - factor) x + factor value. `value` has the size of the selection
 * [rows, heads, width], of one row of it, or one element.
 */
export interface HookEdit extends SiteOptions {
  readonly op: Edit["op"];
  readonly value?: FloatArray | number;
  readonly factor?: number;
}

export function toSite(options: SiteOptions, spec: ModelSpec, batch: Batch): Site {
  const { info, layer } = parseHook(options.hook, spec);
  const heads = headsOf(info, spec);
  const { head = -1 } = options;
  if (head !== -1 && !(Number.isInteger(head) && head >= 0 && head < heads)) {
    const why = heads === 0 ? "it has no heads" : `its heads are 0 to ${heads - 1}`;
    throw new KeyheadsError("BAD_ARGUMENT", `${options.hook} has no head ${head}: ${why}`);
  }
  const rows = options.rows ?? (options.positions === "end" ? endRows(batch.offsets) : undefined);
  if (rows) checkRows(rows, batch, options.hook);
  return { hook: info.id, layer, head, ...(rows && { rows }) };
}

export function toEdit(edit: HookEdit, spec: ModelSpec, batch: Batch, dtype: "f32" | "f64"): Edit {
  const { op, value, factor } = edit;
  if ((op === "set" || op === "add" || op === "interpolate") && value === undefined) {
    throw new KeyheadsError("BAD_ARGUMENT", `edit "${op}" at ${edit.hook} needs a value`);
  }
  if ((op === "scale" || op === "interpolate") && factor === undefined) {
    throw new KeyheadsError("BAD_ARGUMENT", `edit "${op}" at ${edit.hook} needs a factor`);
  }
  return {
    ...toSite(edit, spec, batch),
    op,
    ...(value !== undefined && { value: toFloats(value, dtype) }),
    ...(factor !== undefined && { factor }),
  };
}

/** Values in the model's own type; those that have it already are passed on, not copied. */
export function toFloats(value: FloatArray | number, dtype: "f32" | "f64"): FloatArray {
  const values = typeof value === "number" ? [value] : value;
  if (dtype === "f32") return values instanceof Float32Array ? values : Float32Array.from(values);
  return values instanceof Float64Array ? values : Float64Array.from(values);
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
