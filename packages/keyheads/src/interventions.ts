// What is done at hook points: edits as data, or functions, each once or on every run of a model.
import type { Batch, Edit, FloatArray, ModelDtype, ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import type { HookId, HookPoint } from "./hooks.ts";
import { enterHooks, type HookScope } from "./inside-hook.ts";
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
  const functions: Functions = { open: false, thrown: [] };
  const edits = interventions.flatMap((what) => {
    const edit = isFunctionHook(what)
      ? toCall(what, place, functions)
      : toEdit(what, place.spec, place.batch, place.dtype, place.placement);
    // Of a generation's steps, those that have none of its rows.
    return place.placement && edit.rows?.length === 0 ? [] : [edit];
  });
  try {
    return await run(edits);
  } catch (error) {
    if ((error as { code?: string }).code === "HOOK_FAILED" && functions.thrown.length > 0) {
      throw functions.thrown[0];
    }
    throw error;
  } finally {
    functions.open = false;
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

/** The function hooks of one run, and what they threw. */
interface Functions extends HookScope {
  readonly thrown: unknown[];
}

function toCall(hook: FunctionHook, place: RunPlace, functions: Functions): Edit {
  checkIntervention(hook);
  const { spec, batch, placement } = place;
  const { point, site } = selectSite(hook, spec, batch, placement);
  const at = new Firing(
    point,
    site.head < 0 ? undefined : site.head,
    () => new Layout(point, site, { spec, batch, ...(placement && { starts: placement.starts }) }),
  );
  const failed = (error: unknown): never => {
    functions.open = false;
    functions.thrown.push(error);
    throw error;
  };
  const ended = (returned: unknown, values: FloatArray, size: number): boolean => {
    functions.open = false;
    if (values.length !== size) {
      throw new KeyheadsError("BAD_ARGUMENT", `the hook at ${point.name} gave its array away`);
    }
    return returned !== undefined && returned !== values && store(returned, values, at);
  };
  // Kept short: the engine waits, and code that runs once a layer is in no cache.
  const call = (values: FloatArray, first: boolean): unknown => {
    if (first) enterHooks(functions);
    functions.open = true;
    at.values = values;
    const size = values.length;
    try {
      const returned = hook.run(values, at);
      if (!isThenable(returned)) return ended(returned, values, size);
      return Promise.resolve(returned)
        .then((late) => ended(late, values, size))
        .catch(failed);
    } catch (error) {
      return failed(error);
    }
  };
  return { ...site, op: "call", call, ...(hook.gradient && { gradient: hook.gradient }) };
}

/** Puts what a function gave in place of the values. */
function store(returned: unknown, values: FloatArray, { name, shape }: Firing): true {
  if (!(returned instanceof Float32Array || returned instanceof Float64Array)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `the hook at ${name} gave ${describe(returned)}; expected nothing, or a Float32Array or Float64Array of shape [${shape}]`,
    );
  }
  if (returned.length !== values.length) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `the hook at ${name} gave ${returned.length} values; expected ${values.length}, of shape [${shape}]`,
    );
  }
  values.set(returned);
  return true;
}

const describe = (value: unknown) =>
  typeof value === "object" && value !== null ? value.constructor.name : String(value);

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | undefined)?.then === "function";

// Most functions look at nothing but the values, so the rest is made when it is looked at.
class Firing implements HookFiring {
  readonly head: number | undefined;
  /** What the function is given, while it runs. */
  values: FloatArray = new Float32Array(0);
  readonly #point: HookPoint;
  readonly #layOut: () => Layout;
  #layout: Layout | undefined;

  constructor(point: HookPoint, head: number | undefined, layOut: () => Layout) {
    this.#point = point;
    this.head = head;
    this.#layOut = layOut;
  }
  get name() {
    return this.#point.name;
  }
  get hook() {
    return this.#point.id;
  }
  get layer() {
    return this.#point.layer;
  }
  get shape() {
    return this.#made.shape;
  }
  get offsets() {
    return this.#made.offsets;
  }
  get positions() {
    return this.#made.positions;
  }
  item(index: number) {
    return this.#made.item(this.values, index);
  }
  get #made(): Layout {
    this.#layout ??= this.#layOut();
    return this.#layout;
  }
}
