/** The engine's own memory plans for a model that is not loaded, for --dry-run and `inspect`. */
import type { Batch, MemoryPlan, ModelDtype, ModelHandle, ModelSpec } from "@keyheads/native";
import { callEngine, engine, planCall } from "../engine.ts";
import { OwnedHandle } from "../handle.ts";
import { parseHook } from "../hooks.ts";
import { endRows, pack } from "../packing.ts";
import type { Blueprint } from "./blueprint.ts";

export class Weightless implements Disposable {
  /** Bytes that the weights would take. */
  readonly weightBytes: number;
  readonly #spec: ModelSpec;
  readonly #dtype: ModelDtype;
  readonly #handle: OwnedHandle<ModelHandle>;

  private constructor(plan: MemoryPlan, spec: ModelSpec, dtype: ModelDtype, handle: ModelHandle) {
    this.weightBytes = plan.weightBytes - engine().memory().weightBytes;
    this.#spec = spec;
    this.#dtype = dtype;
    this.#handle = new OwnedHandle(this, handle, "the model without weights");
  }

  static async open({ files, spec }: Blueprint, dtype: ModelDtype): Promise<Weightless> {
    const request = { spec, tensors: files.slots, dtype, memoryBudget: 0 };
    const plan = await planCall((binding, control) => binding.loadModel(request, control));
    const handle = await callEngine((binding, control) =>
      binding.loadModel({ ...request, weightless: true }, control),
    );
    return new Weightless(plan, spec, dtype, handle);
  }

  /** Bytes of one run over sequences of these lengths, with all logits of the first `rows` rows. */
  async forwardBytes(lengths: readonly number[], rows: number): Promise<number> {
    const batch = this.#batch(lengths);
    const wanted =
      rows === lengths.length
        ? endRows(batch.offsets)
        : firstRows(Math.min(rows, batch.tokens.length));
    const readout = { rows: wanted, logits: "all" } as const;
    const { runBytes } = await planCall((binding, control) =>
      binding.forward(this.#handle.value, { batch, captures: [], edits: [], readout }, control),
    );
    return runBytes;
  }

  /** Bytes of one backward run through all layers, with a loss at every token. */
  async backwardBytes(lengths: readonly number[]): Promise<number> {
    const batch = this.#batch(lengths);
    const rows = firstRows(batch.tokens.length);
    const ones =
      this.#dtype === "f64" ? new Float64Array(rows.length) : new Float32Array(rows.length);
    const { info, layer } = parseHook("hook_embed", this.#spec);
    const request = {
      batch,
      captures: [],
      edits: [],
      gradients: [{ hook: info.id, layer, head: -1 }],
      objective: {
        kind: "cross-entropy",
        rows,
        targets: new Int32Array(rows.length),
        weights: ones.fill(1),
      },
    } as const;
    const { runBytes } = await planCall((binding, control) =>
      binding.backward(this.#handle.value, request, control),
    );
    return runBytes;
  }

  [Symbol.dispose](): void {
    this.#handle.dispose();
  }

  #batch(lengths: readonly number[]): Batch {
    const longest = this.#spec.context;
    return pack(
      lengths.map((length) => new Array<number>(Math.min(Math.max(length, 1), longest)).fill(0)),
      this.#spec,
    );
  }
}

const firstRows = (count: number) => Int32Array.from({ length: count }, (_, row) => row);
