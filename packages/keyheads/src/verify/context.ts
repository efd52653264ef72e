// What the checks of one folder share: the model, the goldens, and the two clean runs.
import type { FloatArray } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { concatenate } from "../float-arrays.ts";
import { hooks } from "../hooks.ts";
import type { LoadOptions } from "../model.ts";
import { Model } from "../model.ts";
import { Comparison, type Outcome } from "./comparison.ts";
import type { Goldens, TensorFile } from "./goldens.ts";

/** One check: a group's name, or `*` in it for several, and how to compute and compare it. */
export type Check = (context: VerifyContext, name: string) => Promise<Outcome>;

/** A clean run over one of the two batches; arrays are [layers, tokens, ...]. */
export interface CleanRun {
  readonly sequences: readonly (readonly number[])[];
  readonly logits: FloatArray;
  /** [layers + 1, tokens, dModel] */
  readonly resid: FloatArray;
  /** Before the final norm's weight and bias, [tokens, dModel] */
  readonly finalNormalized: FloatArray;
  /** [layers, items, heads, query, key] */
  readonly pattern: FloatArray;
  /** [layers, tokens, heads, dHead] */
  readonly z: FloatArray;
  readonly mlp: FloatArray;
}

export class VerifyContext {
  readonly model: Model;
  readonly goldens: Goldens;
  readonly #options: LoadOptions;
  readonly #runs = new Map<string, Promise<CleanRun>>();

  constructor(model: Model, goldens: Goldens, options: LoadOptions) {
    this.model = model;
    this.goldens = goldens;
    this.#options = options;
  }

  get tensors(): TensorFile {
    return this.goldens.tensors;
  }

  get call(): { signal?: AbortSignal } {
    return this.#options.signal ? { signal: this.#options.signal } : {};
  }

  /**
   * How far the same item may be from itself in another batch, or with other captures: its bits are
   * the same on the CPU; on a GPU they depend on the kernels that a batch and its captures choose.
   */
  get betweenRuns(): number {
    return this.model.device === "cpu" ? 0 : this.tolerance("logits");
  }

  /** Five times the measured float32 error of a group. */
  tolerance(group: string): number {
    const deviation = this.goldens.settings.float32_deviation[group]?.max_abs;
    if (deviation === undefined) {
      throw new KeyheadsError(
        "BAD_CHECKPOINT",
        `golden.json: float32_deviation has no group "${group}"`,
      );
    }
    return 5 * deviation;
  }

  compare(group: string, found: ArrayLike<number>, expected: ArrayLike<number>): Outcome {
    const comparison = new Comparison(this.tolerance(group));
    comparison.add(found, expected);
    return comparison.outcome;
  }

  /** The same model again, unchanged: for training, or loaded another way. */
  async loadAgain(options: LoadOptions = {}): Promise<Model> {
    return await Model.load(this.goldens.folder, { ...this.#options, ...options });
  }

  /** The clean run on `input_ids` or `cf.input_ids`. */
  async run(batch: "input_ids" | "cf.input_ids"): Promise<CleanRun> {
    const known = this.#runs.get(batch) ?? this.#run(batch);
    this.#runs.set(batch, known);
    return await known;
  }

  async #run(batch: string): Promise<CleanRun> {
    const sequences = await this.tensors.readRows(batch);
    return await cleanRun(this.model, sequences, this.call);
  }
}

export async function cleanRun(
  model: Model,
  sequences: readonly (readonly number[])[],
  call: { signal?: AbortSignal },
): Promise<CleanRun> {
  const layers = Array.from({ length: model.spec.layers }, (_, layer) => layer);
  const perLayer = [hooks.resid_pre, hooks.pattern, hooks.z, hooks.mlp_out_raw] as const;
  const names = [
    ...perLayer.flatMap((hook) => layers.map((layer) => hook(layer))),
    hooks.resid_post(layers.length - 1),
    hooks.ln_final_normalized(),
  ];
  const { captures, logits } = await model.forward({
    sequences,
    captures: names.map((hook) => ({ hook })),
    readout: { rows: "all", logits: "all" },
    ...call,
  });
  const take = (from: number, count: number) => concatenate(captures.slice(from, from + count));
  const n = layers.length;
  const last = captures[4 * n] as FloatArray;
  return {
    sequences,
    logits: logits as FloatArray,
    resid: concatenate([...captures.slice(0, n), last]),
    pattern: take(n, n),
    z: take(2 * n, n),
    mlp: take(3 * n, n),
    finalNormalized: captures[4 * n + 1] as FloatArray,
  };
}
