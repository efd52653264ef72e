// Training of selected slices of a model's weights, one weighted loss and one AdamW step at a time.
// The engine holds the state; everything outside the slices keeps its bits.
import type {
  AccumulateResult,
  AddedSlice,
  Binding,
  Control,
  MemoryPlan,
  Objective,
  Slice,
  Start,
  TrainerHandle,
  TrainerState,
  UpdateRequest,
  UpdateResult,
} from "@keyheads/native";
import { type CallOptions, callEngine, planCall } from "./engine.ts";
import { OwnedHandle } from "./handle.ts";
import { type Intervention, withInterventions } from "./interventions.ts";
import type { Model } from "./model.ts";
import type { Sequence } from "./packing.ts";
import { toFloats } from "./sites.ts";

export interface LossOptions extends CallOptions {
  readonly sequences: readonly Sequence[];
  readonly objective: Objective;
  /** After the model's own hooks. */
  readonly edits?: readonly Intervention[];
  /** The residual stream entering a layer, no higher than the lowest with a slice. */
  readonly start?: Start;
  /** Compute blocks again in the backward pass instead of keeping what they computed. */
  readonly recompute?: boolean;
}

export class Trainer<S extends Slice | AddedSlice = Slice | AddedSlice> implements Disposable {
  readonly model: Model;
  readonly slices: readonly S[];
  readonly #handle: OwnedHandle<TrainerHandle>;

  /** Use `model.createTrainer(slices)`. */
  constructor(model: Model, handle: TrainerHandle, slices: readonly S[]) {
    this.model = model;
    this.slices = slices;
    this.#handle = new OwnedHandle(this, handle, "the trainer");
  }

  /** Adds the gradient of one weighted loss. */
  async accumulate(options: LossOptions): Promise<AccumulateResult> {
    return await this.#accumulate(options, callEngine<AccumulateResult>);
  }

  /** What accumulate would need in memory, counted without computing anything. */
  async plan(options: LossOptions): Promise<MemoryPlan> {
    return await this.#accumulate(options, planCall);
  }

  async #accumulate<R>(
    options: LossOptions,
    through: (
      call: (binding: Binding, control: Control) => Promise<AccumulateResult>,
      options?: CallOptions,
    ) => Promise<R>,
  ): Promise<R> {
    const { model } = this;
    const batch = model.pack(options.sequences);
    const objective = {
      ...options.objective,
      weights: toFloats(options.objective.weights, model.dtype),
    };
    const { spec, dtype } = model;
    const { start, recompute } = options;
    const rest = {
      ...(start && { start: { ...start, residual: toFloats(start.residual, dtype) } }),
      ...(recompute && { recompute }),
    };
    return await withInterventions(
      model.interventions(options.edits),
      { spec, dtype, batch },
      (edits) =>
        through(
          (binding, control) =>
            binding.accumulate(this.#handle.value, { batch, objective, edits, ...rest }, control),
          options,
        ),
    );
  }

  /** Clips, takes one AdamW step on the slices, clears the gradients. */
  async update(request: UpdateRequest, call?: CallOptions): Promise<UpdateResult> {
    return await callEngine(
      (binding, control) => binding.update(this.#handle.value, request, control),
      call,
    );
  }

  /** Gradients, moments and values of every slice, in the order of `slices`. */
  async read(call?: CallOptions): Promise<TrainerState> {
    return await callEngine(
      (binding, control) => binding.readTrainer(this.#handle.value, control),
      call,
    );
  }

  /** The inverse of read. */
  async write(state: TrainerState, call?: CallOptions): Promise<void> {
    await callEngine(
      (binding, control) => binding.writeTrainer(this.#handle.value, state, control),
      call,
    );
  }

  /** Frees gradients and moments; the model keeps its trained weights. */
  dispose(): void {
    this.#handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
