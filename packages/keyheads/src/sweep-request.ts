// Many variants of one run as users write them, lists of edits, to the arrays that the engine takes.
// Edits and values that variants share cross the boundary once.
import type {
  Batch,
  FloatArray,
  ModelDtype,
  ModelSpec,
  Readout,
  Site,
  SweepRequest,
  SweepValue,
  SweepEdit as WireEdit,
} from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import { headsOf, parseHook, widthOf } from "./hooks.ts";
import type { Sequence } from "./packing.ts";
import { checkEdit, type HookEdit, type SiteOptions, selectSite, toFloats } from "./sites.ts";

/**
 * Numbers that lie in a larger array: those of row r of the selection, head h and column c are at
 * offset + r row + h head + c column, with column 1 and head 0 where they are left out. A row of 0
 * gives every row the same numbers, a head of 0 every head.
 */
export interface StridedValue {
  readonly array: FloatArray;
  readonly offset: number;
  readonly row: number;
  readonly head?: number;
  readonly column?: number;
}

/** An edit of a variant: as `forward` takes it, or with a value that is part of a larger array. */
export interface SweepEdit extends Omit<HookEdit, "value"> {
  readonly value?: FloatArray | number | StridedValue;
}

export interface SweepOptions {
  readonly sequences: readonly Sequence[];
  /** The edits of each, in the order in which they apply; an edit may be part of many variants. */
  readonly variants: readonly (readonly SweepEdit[])[];
  /**
   * What stays as it is in the unedited run, except for edits of itself: nothing (the default), z of
   * every head at every position, or z and the MLPs' neurons (of mixtures: their outputs).
   */
  readonly freeze?: SweepRequest["freeze"];
  /** Read in the unedited run and in every variant. */
  readonly captures?: readonly SiteOptions[];
  /** Of the last token of every sequence; none by default. */
  readonly readout?: Omit<Readout, "rows">;
  /** Bytes that the work may take at a time, beside the results; 256 MiB. */
  readonly workBytes?: number;
}

export interface SweepPlace {
  readonly spec: ModelSpec;
  readonly dtype: ModelDtype;
  readonly batch: Batch;
}

export function toSweepRequest(options: SweepOptions, place: SweepPlace): SweepRequest {
  const { variants, freeze = "none", captures = [], readout, workBytes } = options;
  const { spec, batch } = place;
  const edits = new EditTable(place);
  const starts = new Int32Array(variants.length + 1);
  variants.forEach((variant, v) => {
    starts[v + 1] = (starts[v] as number) + variant.length;
  });
  const members = Int32Array.from(variants.flatMap((variant) => variant.map((e) => edits.add(e))));
  return {
    batch,
    values: edits.values,
    edits: edits.edits,
    starts,
    members,
    freeze,
    captures: captures.map((site) => selectSite(site, spec, batch).site),
    readout: readout ?? { logits: "none" },
    ...(workBytes !== undefined && { workBytes }),
  };
}

class EditTable {
  readonly #place: SweepPlace;
  readonly edits: WireEdit[] = [];
  readonly values: FloatArray[] = [];
  readonly #known = new Map<SweepEdit, number>();
  readonly #arrays = new Map<FloatArray, number>();

  constructor(place: SweepPlace) {
    this.#place = place;
  }

  /** Its number. */
  add(edit: SweepEdit): number {
    const known = this.#known.get(edit);
    if (known !== undefined) return known;
    this.#known.set(edit, this.edits.length);
    return this.edits.push(this.#convert(edit)) - 1;
  }

  #convert(edit: SweepEdit): WireEdit {
    const { value, factor, op } = edit;
    checkEdit(edit);
    const { site } = selectSite(edit, this.#place.spec, this.#place.batch);
    return {
      ...site,
      op,
      ...(value !== undefined && { value: this.#value(edit, value, site) }),
      ...(factor !== undefined && { factor }),
    };
  }

  #value(edit: SweepEdit, value: NonNullable<SweepEdit["value"]>, site: Site): SweepValue {
    if (typeof value === "object" && "array" in value) {
      const { array, offset, row, head = 0, column = 1 } = value;
      return { index: this.#array(array), offset, row, head, column };
    }
    const { spec, batch } = this.#place;
    const index = typeof value === "number" ? this.#number(value) : this.#array(value);
    const whole = { index, offset: 0, row: 0, head: 0, column: 0 };
    const size = typeof value === "number" ? 1 : value.length;
    if (size === 1) return whole;
    const { info } = parseHook(edit.hook, spec);
    if (info.rows === "pattern") return { ...whole, column: 1 };
    const heads = site.heads?.length ?? (site.head >= 0 ? 1 : Math.max(1, headsOf(info, spec)));
    const columns = site.columns?.length ?? widthOf(info, spec);
    const rows = site.rows?.length ?? batch.tokens.length;
    const row = heads * columns;
    if (size !== row && size !== rows * row) throw wrongSize(edit, size, rows * row, row);
    return { ...whole, row: size === row ? 0 : row, head: columns, column: 1 };
  }

  #number(value: number): number {
    return this.values.push(toFloats(value, this.#place.dtype)) - 1;
  }

  #array(array: FloatArray): number {
    const known = this.#arrays.get(array);
    if (known !== undefined) return known;
    this.#arrays.set(array, this.values.length);
    return this.values.push(toFloats(array, this.#place.dtype)) - 1;
  }
}

function wrongSize({ hook, op }: SweepEdit, size: number, all: number, row: number) {
  return new KeyheadsError(
    "BAD_ARGUMENT",
    `edit "${op}" at ${hook}: value has ${size} elements, expected ${all}, or one row of ${row}, or 1`,
  );
}
