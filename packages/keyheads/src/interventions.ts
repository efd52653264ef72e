// What is done at hook points: edits as data, or functions, each once or on every run of a model.
import type { Batch, Edit, FloatArray, ModelDtype, ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import type { HookId } from "./hooks.ts";
import { runInHook } from "./inside-hook.ts";
import {
  checkEdit,
  type HookEdit,
  type Placement,
  type SiteOptions,
  selectSite,
  toEdit,
} from "./sites.ts";
import { Layout, type TensorView } from "./tensor-view.ts";

/**
 * A function at a hook point. The run waits for it, and for its promise. It may change `values` in
 * place (or nothing), or give new values of the same size. The array is detached when it has ended:
 * copy what you keep. Calls to the engine from inside it reject with ENGINE_BUSY.
 */
export type HookFunction = (values: FloatArray, at: HookFiring) => unknown;

/** What a function hook is told about the values that it is given. */
export interface HookFiring {
  readonly name: string;
  readonly hook: HookId;
  /** -1 for hooks of the whole model. */
  readonly layer: number;
  readonly head: number | undefined;
  /** [rows, heads, width] or [rows, width]; scores and patterns are flat, see `item`. */
  readonly shape: readonly number[];
  /** Which of the rows belong to each item; one longer than the items. */
  readonly offsets: Int32Array;
  /** Position of every row in its whole sequence. */
  readonly positions: Int32Array;
  /** One item's part: [rows, heads, width], scores and patterns [heads, query, key]. */
  item(index: number): TensorView;
}

export interface FunctionHook extends SiteOptions {
  readonly run: HookFunction;
  /**
   * What a gradient takes the function for. "unchanged" (the default): entries that it left alone
   * hand their gradient on; those that it changed, and all if it gave new values, are constants, as
   * data written into a tensor are in PyTorch. "pass": it added a constant, so every entry hands its
   * gradient on.
   */
  readonly gradient?: "unchanged" | "pass";
}

export type Intervention = HookEdit | FunctionHook;

const isFunctionHook = (what: Intervention): what is FunctionHook => "run" in what;

/** The run that interventions are made for. */
export interface RunPlace {
  readonly spec: ModelSpec;
  readonly dtype: ModelDtype;
  readonly batch: Batch;
  readonly placement?: Placement;
}

/**
 * Runs a call of the engine with interventions. Where a function hook threw, it rejects with what
 * that threw.
 */
export async function withInterventions<T>(
  interventions: readonly Intervention[],
  place: RunPlace,
  run: (edits: Edit[]) => Promise<T>,
): Promise<T> {
  const thrown: unknown[] = [];
  const edits = interventions.flatMap((what) => {
    const edit = isFunctionHook(what)
      ? toCall(what, place, thrown)
      : toEdit(what, place.spec, place.batch, place.dtype, place.placement);
    // Of a generation's steps, those that have none of its rows.
    return place.placement && edit.rows?.length === 0 ? [] : [edit];
  });
  try {
    return await run(edits);
  } catch (error) {
    if ((error as { code?: string }).code === "HOOK_FAILED" && thrown.length > 0) throw thrown[0];
    throw error;
  }
}

/** What can be said about an intervention before there is a batch. */
export function checkIntervention(what: Intervention): void {
  if (!isFunctionHook(what)) {
    checkEdit(what);
  } else if (typeof what.run !== "function") {
    throw new KeyheadsError("BAD_ARGUMENT", `${what.hook}: ${what.run} is not a function`);
  }
}

function toCall(hook: FunctionHook, place: RunPlace, thrown: unknown[]): Edit {
  checkIntervention(hook);
  const { spec, batch, placement } = place;
  const { point, site } = selectSite(hook, spec, batch, placement);
  const layout = new Layout(point, site, {
    spec,
    batch,
    ...(placement && { starts: placement.starts }),
  });
  const call = (values: FloatArray): unknown => {
    const state = { open: true };
    const failed = (error: unknown): never => {
      state.open = false;
      thrown.push(error);
      throw error;
    };
    const ended = (returned: unknown): boolean => {
      state.open = false;
      return store(returned, values, layout);
    };
    const at = new Firing(layout, values, site.head < 0 ? undefined : site.head);
    try {
      const returned = runInHook(state, () => hook.run(values, at));
      if (!isThenable(returned)) return ended(returned);
      return Promise.resolve(returned).then(ended).catch(failed);
    } catch (error) {
      return failed(error);
    }
  };
  return { ...site, op: "call", call, ...(hook.gradient && { gradient: hook.gradient }) };
}

/** Puts what a function gave in place of the values; whether it gave new ones. */
function store(returned: unknown, values: FloatArray, { point, shape, size }: Layout): boolean {
  if (values.length !== size) {
    throw new KeyheadsError("BAD_ARGUMENT", `the hook at ${point.name} gave its array away`);
  }
  if (returned === undefined || returned === values) return false;
  if (!(returned instanceof Float32Array || returned instanceof Float64Array)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `the hook at ${point.name} gave ${describe(returned)}; expected nothing, or a Float32Array or Float64Array of shape [${shape}]`,
    );
  }
  if (returned.length !== size) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `the hook at ${point.name} gave ${returned.length} values; expected ${size}, of shape [${shape}]`,
    );
  }
  values.set(returned);
  return true;
}

const describe = (value: unknown) =>
  typeof value === "object" && value !== null ? value.constructor.name : String(value);

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | undefined)?.then === "function";

class Firing implements HookFiring {
  readonly #layout: Layout;
  readonly #values: FloatArray;
  readonly head: number | undefined;

  constructor(layout: Layout, values: FloatArray, head: number | undefined) {
    this.#layout = layout;
    this.#values = values;
    this.head = head;
  }
  get name() {
    return this.#layout.point.name;
  }
  get hook() {
    return this.#layout.point.id;
  }
  get layer() {
    return this.#layout.point.layer;
  }
  get shape() {
    return this.#layout.shape;
  }
  get offsets() {
    return this.#layout.offsets;
  }
  get positions() {
    return this.#layout.positions;
  }
  item(index: number) {
    return this.#layout.item(this.#values, index);
  }
}
