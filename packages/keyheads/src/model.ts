// A loaded model: weights in the engine, its sizes, its tokenizer, and the calls on it. Everything
// that is computed crosses the boundary as data (native/binding.ts).
import { freemem } from "node:os";
import { basename, join, resolve } from "node:path";
import type {
  AddedSlice,
  AddedWeights,
  AnySlot,
  BackwardResult,
  BackwardRule,
  Batch,
  Binding,
  Control,
  DeviceRequest,
  Directions,
  Edit,
  FloatArray,
  ForwardResult,
  MemoryPlan,
  ModelDtype,
  ModelHandle,
  ModelSpec,
  Objective,
  Readout,
  Slice,
  SlotRef,
  SweepResult,
} from "@keyheads/native";
import {
  ActivationCache,
  CachedActivation,
  type ComputedRange,
  filterHooks,
  type HookFilter,
  layoutsOf,
  sitesOf,
} from "./activation-cache.ts";
import { cudaDevice } from "./cuda-device.ts";
import { type CallOptions, callEngine, engine, planCall } from "./engine.ts";
import { KeyheadsError } from "./errors.ts";
import { type GenerateOptions, generateTokens } from "./generate.ts";
import { OwnedHandle } from "./handle.ts";
import { type HookFunction, type Intervention, withInterventions } from "./interventions.ts";
import { type CheckpointFiles, openCheckpoint } from "./load/checkpoint.ts";
import { readConfig } from "./load/config.ts";
import { readJsonObject } from "./load/json.ts";
import { endRows, pack, type Sequence } from "./packing.ts";
import {
  type EditValue,
  type HookHandle,
  PersistentHooks,
  toIntervention,
} from "./persistent-hooks.ts";
import { applyDelta, type DeltaContent } from "./save/delta.ts";
import { type SiteOptions, toFloats, toSite } from "./sites.ts";
import { type SweepOptions, toSweepRequest } from "./sweep-request.ts";
import { loadTokenizer, missingTokenizer } from "./tokenizer/load.ts";
import type { Tokenizer } from "./tokenizer/types.ts";
import { Trainer } from "./trainer.ts";

export type { CallOptions } from "./engine.ts";
export type { Intervention } from "./interventions.ts";
export type { HookEdit, SiteOptions } from "./sites.ts";
export type { StridedValue, SweepEdit, SweepOptions } from "./sweep-request.ts";

export type DeviceName = "cpu" | "cuda";

export interface LoadOptions {
  /**
   * f32 is the default. bf16 keeps matrices as bfloat16, in half the memory, and computes in f32.
   * f64 is the slow twin that both are judged against.
   */
  readonly dtype?: ModelDtype;
  /**
   * Where the model lives and is computed: "cuda" is the first NVIDIA GPU, in f32 or bf16.
   * It is never replaced by the CPU. The memory budget is then of the GPU's memory.
   */
  readonly device?: DeviceName;
  /**
   * Products of float matrices on a GPU may round what they multiply to TF32 (a fraction of 10 bits),
   * which is several times faster there and as accurate as that. Off unless asked for; an error on the CPU.
   */
  readonly tf32?: boolean;
  /** Compute threads of the engine, which all models share; 0 is all allowed CPUs. */
  readonly threads?: number;
  /** Bytes beyond which a call rejects with OUT_OF_MEMORY. */
  readonly memoryBudget?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** Accept config keys that keyheads does not know, at your risk. */
  readonly allowUnknownConfig?: boolean;
  /** Name of the config file in the folder. */
  readonly configFile?: string;
  /** A delta file of this folder's model (`saveDelta`), whose values are put over the folder's. */
  readonly delta?: string;
}

/** Which layers a run computes; by default all, from the embeddings to the logits. */
export interface LayerRange {
  /** Begins at this layer, with `residual` instead of the embeddings. */
  readonly startAtLayer?: number;
  /** The residual stream entering startAtLayer, [rows, dModel], as a run that stops there gives it. */
  readonly residual?: FloatArray;
  /** Ends before this layer and gives the residual stream entering it; there are no logits. */
  readonly stopAtLayer?: number;
}

export interface ForwardOptions extends CallOptions, LayerRange {
  /** Token ids; sequences may differ in length. */
  readonly sequences: readonly Sequence[];
  readonly captures?: readonly SiteOptions[];
  /** Edits and functions, applied in order at each hook point. */
  readonly edits?: readonly Intervention[];
  readonly readout?: ReadoutOptions;
}

/** Which logits are given back; without a readout, none. */
export interface ReadoutOptions {
  /** Packed rows; "end" (the default) is the last of every sequence. */
  readonly rows?: Int32Array | "end" | "all";
  readonly logits: Readout["logits"];
  /** With logits "tokens": ids, rows x width. */
  readonly tokens?: Int32Array;
  readonly argmax?: boolean;
  readonly logsumexp?: boolean;
}

export interface ForwardOutput {
  /** One array a site: [rows, heads, width], or per item [heads, query, key] for patterns. */
  readonly captures: FloatArray[];
  /** With stopAtLayer: the residual stream entering that layer, [rows, dModel]. */
  readonly residual?: FloatArray;
  /** [rows, vocab] or [rows, width]. */
  readonly logits?: FloatArray;
  readonly argmax?: Int32Array;
  readonly logsumexp?: FloatArray;
  /** Where each sequence begins in the packed rows; one longer than the sequences. */
  readonly offsets: Int32Array;
}

/** A site whose gradient is wanted. */
export interface GradientOptions extends SiteOptions {
  /**
   * Derivatives along these of the call's directions in place of the gradient: of each item and
   * head the sum of gradient times direction, [items, heads, stop - start].
   */
  readonly along?: readonly [start: number, stop: number];
}

export interface BackwardOptions extends CallOptions, LayerRange {
  readonly sequences: readonly Sequence[];
  readonly objective: Objective;
  /** Sites whose gradients are wanted, or derivatives along directions. */
  readonly gradients: readonly GradientOptions[];
  readonly directions?: Directions;
  readonly captures?: readonly SiteOptions[];
  readonly edits?: readonly Intervention[];
  /** Derivatives to use in place of the true ones. */
  readonly rules?: readonly BackwardRule[];
}

export interface RunWithCacheOptions extends CallOptions, LayerRange {
  /** Which hook points to keep; by default all that are computed. */
  readonly names?: HookFilter;
  /** Of hook points that have heads, these only; of keys and values, these groups. */
  readonly heads?: readonly number[];
  readonly positions?: SiteOptions["positions"];
  readonly items?: readonly number[];
  readonly edits?: readonly Intervention[];
  /** By default the logits of every row. */
  readonly readout?: ReadoutOptions;
}

export interface RunWithCacheOutput extends Omit<ForwardOutput, "captures"> {
  readonly cache: ActivationCache;
}

export interface RunWithHooksOptions extends CallOptions, LayerRange {
  readonly captures?: readonly SiteOptions[];
  /** By default the logits of every row. */
  readonly readout?: ReadoutOptions;
}

export interface BackwardOutput {
  readonly objective: number;
  readonly perRow: FloatArray;
  readonly captures: FloatArray[];
  readonly gradients: FloatArray[];
  readonly offsets: Int32Array;
}

/** A run, or a trainer of slices, to be planned. */
export type PlannedRun =
  | { readonly forward: ForwardOptions }
  | { readonly backward: BackwardOptions }
  | { readonly sweep: SweepOptions }
  | { readonly trainer: readonly Slice[] };

export class Model implements Disposable {
  readonly folder: string;
  /** Last part of the folder's path. */
  readonly name: string;
  /** Name of the family: "gpt2", "llama". */
  readonly architecture: string;
  readonly spec: ModelSpec;
  /** The config key that limits the context, and why. */
  readonly contextFrom: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: ModelDtype;
  readonly device: DeviceName;
  /** Whether products of floats may round to TF32. */
  readonly tf32: boolean;
  /** Tied weights count once. */
  readonly parameterCount: number;
  /** undefined if the folder has no tokenizer.json. */
  readonly tokenizer: Tokenizer | undefined;
  readonly files: CheckpointFiles;
  /** Bytes beyond which a call rejects; 0 is no limit. */
  readonly memoryBudget: number;
  readonly #handle: OwnedHandle<ModelHandle>;
  readonly #hooks = new PersistentHooks();
  #delta: DeltaContent = { slices: [] };

  /** Use `Model.load(folder)`. */
  constructor(parts: ModelParts) {
    this.folder = parts.folder;
    this.name = basename(parts.folder);
    this.architecture = parts.architecture;
    this.spec = parts.spec;
    this.contextFrom = parts.contextFrom;
    this.config = parts.config;
    this.dtype = parts.dtype;
    this.device = parts.device;
    this.tf32 = parts.tf32;
    this.tokenizer = parts.tokenizer;
    this.files = parts.files;
    this.memoryBudget = parts.memoryBudget;
    this.parameterCount = countParameters(parts.files);
    this.#handle = new OwnedHandle(this, parts.handle, `the model ${this.name}`);
  }

  /**
   * Loads a Hugging Face folder: config.json, *.safetensors and, if there, tokenizer.json.
   * Throws BAD_CHECKPOINT, UNKNOWN_ARCHITECTURE, NO_DEVICE or OUT_OF_MEMORY.
   *
   * @example
   * using model = await Model.load("./my-model");
   */
  static async load(folder: string, options: LoadOptions = {}): Promise<Model> {
    const { dtype = "f32", device = "cpu", tf32 = false, memoryBudget = 0 } = options;
    const place = placeOf(device, dtype, tf32);
    const path = join(folder, options.configFile ?? "config.json");
    const config = await readJsonObject(path);
    const { arch, spec, flags, contextFrom } = readConfig(config, path, options);
    const files = await openCheckpoint(folder, arch, spec, flags);
    const tokenizer = await loadTokenizer(folder);
    const handle = await callEngine((binding, control) => {
      if (options.threads !== undefined) binding.setThreads(options.threads);
      const request = { spec, tensors: files.slots, dtype, memoryBudget, ...place };
      return binding.loadModel(request, control);
    }, options);
    const model = new Model({
      folder: resolve(folder),
      architecture: arch.name,
      spec,
      contextFrom,
      config,
      dtype,
      device,
      tf32,
      tokenizer,
      files,
      memoryBudget,
      handle,
    });
    if (options.delta === undefined) return model;
    try {
      model.#delta = await applyDelta(model, options.delta);
      return model;
    } catch (cause) {
      model.dispose();
      throw cause;
    }
  }

  /** What a delta file changed of the folder's weights. */
  get delta(): DeltaContent {
    return this.#delta;
  }

  /** For what has baked the added weights of the delta in. */
  forgetAdded(): void {
    this.#delta = { slices: this.#delta.slices };
  }

  /** The engine's handle, for calls that this class does not wrap. */
  get handle(): ModelHandle {
    return this.#handle.value;
  }

  /** The tokenizer, or NO_TOKENIZER with what is missing and what to do. */
  needTokenizer(): Tokenizer {
    if (this.tokenizer) return this.tokenizer;
    throw missingTokenizer(this.folder);
  }

  /** Packs sequences, checking ids against the vocabulary and lengths against the context. */
  pack(sequences: readonly Sequence[]): Batch {
    const { vocab, context } = this.spec;
    return pack(sequences, { vocab, context, contextFrom: this.contextFrom });
  }

  /**
   * What a run would need in memory, counted by the engine's own code without computing anything:
   * weights, what caches and trainers hold, the run at its largest, and its results. With a memory
   * budget every run is planned so before it begins.
   *
   * @example
   * const { peakBytes } = await model.plan({ forward: { sequences, readout: { logits: "all" } } });
   */
  async plan(run: PlannedRun, call?: CallOptions): Promise<MemoryPlan> {
    if ("forward" in run) {
      return await this.#forward(run.forward, this.pack(run.forward.sequences), planCall);
    }
    if ("backward" in run) {
      return await this.#backward(run.backward, this.pack(run.backward.sequences), planCall);
    }
    if ("sweep" in run) return await this.#sweep(run.sweep, planCall, call);
    const { trainer: slices } = run;
    return await planCall(
      (binding, control) => binding.createTrainer(this.handle, { slices }, control),
      call,
    );
  }

  /** One forward pass over a batch of sequences, with captures, edits and the logits asked for. */
  async forward(options: ForwardOptions): Promise<ForwardOutput> {
    const batch = this.pack(options.sequences);
    const { captures, ...result } = await this.#forward(options, batch, callEngine<ForwardResult>);
    return { ...result, captures: [...captures], offsets: batch.offsets };
  }

  async #forward<R>(
    options: ForwardOptions,
    batch: Batch,
    through: Through<ForwardResult, R>,
  ): Promise<R> {
    const readout = options.readout && toReadout(options.readout, batch);
    const rest = {
      batch,
      captures: this.#sites(options.captures, batch),
      ...this.#range(options),
      ...(readout && { readout }),
    };
    return await this.#intervened(options, batch, (edits) =>
      through(
        (binding, control) => binding.forward(this.handle, { ...rest, edits }, control),
        options,
      ),
    );
  }

  /** Value and gradient, at hook points, of an objective. */
  async backward(options: BackwardOptions): Promise<BackwardOutput> {
    const batch = this.pack(options.sequences);
    const result = await this.#backward(options, batch, callEngine<BackwardResult>);
    const { captures, gradients } = result;
    return {
      ...result,
      captures: [...captures],
      gradients: [...gradients],
      offsets: batch.offsets,
    };
  }

  async #backward<R>(
    options: BackwardOptions,
    batch: Batch,
    through: Through<BackwardResult, R>,
  ): Promise<R> {
    const weights = toFloats(options.objective.weights, this.dtype);
    const { directions } = options;
    const rest = {
      batch,
      captures: this.#sites(options.captures, batch),
      gradients: options.gradients.map(({ along, ...site }) => ({
        ...toSite(site, this.spec, batch),
        ...(along && { along }),
      })),
      ...(directions && {
        directions: { ...directions, values: toFloats(directions.values, this.dtype) },
      }),
      objective: { ...options.objective, weights },
      ...this.#range(options),
      ...(options.rules && { rules: options.rules }),
    };
    return await this.#intervened(options, batch, (edits) =>
      through(
        (binding, control) => binding.backward(this.handle, { ...rest, edits }, control),
        options,
      ),
    );
  }

  /** Runs with the model's own hooks and then the call's edits. */
  #intervened<R>(
    { edits }: { readonly edits?: readonly Intervention[] },
    batch: Batch,
    run: (edits: Edit[]) => Promise<R>,
  ): Promise<R> {
    const place = { spec: this.spec, dtype: this.dtype, batch };
    return withInterventions(this.#hooks.before(edits), place, run);
  }

  /**
   * A forward pass that keeps what hook points hold: all of them, or those of `names`. Rejects with
   * OUT_OF_MEMORY, before it computes anything, where they need more than the memory budget (or,
   * without one, than this machine has left).
   *
   * @example
   * const { logits, cache } = await model.runWithCache([[1, 2, 3]], { names: /hook_z$/ });
   * cache.get(hooks.z(3)).item(0).at(2, 1, 0); // position 2, head 1, first of dHead
   */
  async runWithCache(
    sequences: readonly Sequence[],
    options: RunWithCacheOptions = {},
  ): Promise<RunWithCacheOutput> {
    const { names, heads, positions, items, readout, ...rest } = options;
    const batch = this.pack(sequences);
    const points = filterHooks(names, this.spec, this.#computed(options));
    const captures = sitesOf(points, {
      ...(heads && { heads }),
      ...(positions !== undefined && { positions }),
      ...(items && { items }),
    });
    const sites = this.#sites(captures, batch);
    const layouts = layoutsOf(points, sites, { spec: this.spec, batch });
    this.#checkRoom(layouts.reduce((sum, { size }) => sum + size, 0));
    const { captures: values, ...output } = await this.forward({
      ...rest,
      sequences,
      captures,
      ...readingAll(options.stopAtLayer, readout),
    });
    const kept = layouts.map((layout, i) => new CachedActivation(layout, values[i] as FloatArray));
    return { ...output, cache: new ActivationCache(this.spec, kept) };
  }

  /**
   * A forward pass with functions, or edits, at hook points, in their order. A function sees the
   * values of its site, while the run waits, and may change them in place or give new ones.
   *
   * @example
   * const { logits } = await model.runWithHooks([[1, 2, 3]], [
   *   [{ hook: hooks.z(3), head: 1 }, (z) => z.fill(0)],
   *   ["blocks.5.hook_resid_pre", async (x, at) => await steer(x, at.positions)],
   * ]);
   */
  async runWithHooks(
    sequences: readonly Sequence[],
    hooks: readonly (readonly [site: string | SiteOptions, what: HookFunction | EditValue])[],
    options: RunWithHooksOptions = {},
  ): Promise<ForwardOutput> {
    return await this.forward({
      ...options,
      sequences,
      edits: hooks.map(([site, what]) => toIntervention(site, what)),
      ...readingAll(options.stopAtLayer, options.readout),
    });
  }

  /**
   * A hook that every later forward, backward and generation of this model applies, and every loss
   * of its trainers, before what the call itself asks for. Sweeps reject while there is one.
   *
   * @example
   * using hook = model.addHook({ hook: hooks.z(3), head: 1 }, { op: "zero" });
   */
  addHook(site: string | SiteOptions, what: HookFunction | EditValue): HookHandle {
    return this.#hooks.add(toIntervention(site, what), this.spec);
  }

  /** The hooks that this model carries, in the order in which they apply. */
  hooks(): HookHandle[] {
    return this.#hooks.list();
  }

  /** Removes every hook of `addHook`. */
  resetHooks(): void {
    this.#hooks.clear();
  }

  /** The model's own hooks and then these, as every run applies them. */
  interventions(edits: readonly Intervention[] = []): readonly Intervention[] {
    return this.#hooks.before(edits);
  }

  /**
   * One run and many variants of it, each a list of edits: what `forward` gives with these edits, and
   * with what is frozen set before them. Only what differs is computed.
   *
   * @example
   * const { base, variants } = await model.sweep({
   *   sequences,
   *   variants: [[{ hook: hooks.z(3), head: 1, positions: "end", op: "zero" }]],
   *   readout: { logits: "all" },
   * });
   */
  async sweep(options: SweepOptions, call?: CallOptions): Promise<SweepResult> {
    return await this.#sweep(options, callEngine<SweepResult>, call);
  }

  async #sweep<R>(
    options: SweepOptions,
    through: Through<SweepResult, R>,
    call?: CallOptions,
  ): Promise<R> {
    const batch = this.pack(options.sequences);
    const [hook] = this.#hooks.list();
    if (hook) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `a sweep cannot apply the model's hook at ${hook.name}; remove it first`,
      );
    }
    const request = toSweepRequest(options, { spec: this.spec, dtype: this.dtype, batch });
    return await through((binding, control) => binding.sweep(this.handle, request, control), call);
  }

  /** Continues one prompt; gives the new ids only, stop ids included. */
  async generate(promptIds: readonly number[], options: GenerateOptions = {}): Promise<number[]> {
    const [ids = []] = await generateTokens(this, [promptIds], options);
    return ids;
  }

  /** Continues several prompts in one batch; each gets what it would get alone. */
  async generateMany(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<number[][]> {
    return await generateTokens(this, prompts, options);
  }

  /** A weight as [out, in], whatever the file's layout; vectors as [n]. layer is -1 for model slots. */
  async readWeight(slot: SlotRef<AnySlot>, call?: CallOptions): Promise<FloatArray> {
    return await callEngine(
      (binding, control) => binding.readWeight(this.handle, slot, control),
      call,
    );
  }

  /** Overwrites a whole weight; the inverse of readWeight. */
  async writeWeight(slot: SlotRef<AnySlot>, value: FloatArray, call?: CallOptions): Promise<void> {
    const floats = toFloats(value, this.dtype);
    await callEngine(
      (binding, control) => binding.writeWeight(this.handle, slot, floats, control),
      call,
    );
  }

  /** A trainer of these slices, which must be disjoint; only they will change. */
  async createTrainer<S extends Slice | AddedSlice>(
    slices: readonly S[],
    call?: CallOptions,
  ): Promise<Trainer<S>> {
    const handle = await callEngine(
      (binding, control) => binding.createTrainer(this.handle, { slices }, control),
      call,
    );
    return new Trainer(this, handle, slices);
  }

  /**
   * Adds trainable weights that begin as zero: low-rank factors of a matrix, or a layer's offset of z
   * (AddedWeights in native/binding.ts). What a model is saved from does not have them.
   */
  async addWeights(request: AddedWeights, call?: CallOptions): Promise<void> {
    await callEngine((binding, control) => binding.addWeights(this.handle, request, control), call);
  }

  /** Takes away everything that addWeights added. */
  async removeWeights(call?: CallOptions): Promise<void> {
    await callEngine((binding, control) => binding.removeWeights(this.handle, control), call);
  }

  /** Frees the weights. */
  dispose(): void {
    this.#handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #sites(sites: readonly SiteOptions[] = [], batch: Batch) {
    return sites.map((site) => toSite(site, this.spec, batch));
  }

  #range({ startAtLayer, residual, stopAtLayer }: LayerRange) {
    if ((startAtLayer === undefined) !== (residual === undefined)) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        "a run that starts at a layer needs startAtLayer and the residual stream entering it",
      );
    }
    for (const layer of [startAtLayer, stopAtLayer]) {
      if (layer === undefined) continue;
      if (Number.isInteger(layer) && layer >= 0 && layer <= this.spec.layers) continue;
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `layer ${layer}: expected 0 to ${this.spec.layers} (behind the last layer)`,
      );
    }
    return {
      ...(residual && {
        start: { layer: startAtLayer as number, residual: toFloats(residual, this.dtype) },
      }),
      ...(stopAtLayer !== undefined && { stopAtLayer }),
    };
  }

  #computed({ startAtLayer, stopAtLayer }: LayerRange): ComputedRange {
    return {
      first: startAtLayer ?? 0,
      last: stopAtLayer ?? this.spec.layers,
      embeds: startAtLayer === undefined,
      reads: stopAtLayer === undefined,
    };
  }

  /** Throws OUT_OF_MEMORY where captures of so many numbers do not fit. */
  #checkRoom(numbers: number): void {
    const bytes = numbers * (this.dtype === "f64" ? 8 : 4);
    const used = engine().memory();
    // What is kept is the host's: the budget of a GPU is not asked.
    const budgeted = this.memoryBudget > 0 && this.device === "cpu";
    const room = budgeted ? this.memoryBudget - used.weightBytes - used.bytes : freemem();
    if (bytes <= room) return;
    throw new KeyheadsError(
      "OUT_OF_MEMORY",
      `the activations to keep need ${bytes} bytes, ${Math.max(0, room)} are left ${
        budgeted ? `of the budget of ${this.memoryBudget}` : "on this machine"
      }; keep fewer with names, heads, positions or items, or use smaller batches`,
    );
  }
}

/** All logits of a run that gets so far, unless another readout is asked for. */
function readingAll(
  stopAtLayer: number | undefined,
  readout: ReadoutOptions = { rows: "all", logits: "all" },
): Pick<ForwardOptions, "readout"> {
  return stopAtLayer === undefined ? { readout } : {};
}

/** How a call reaches the engine: to be run, or to be planned. */
type Through<T, R> = (
  call: (binding: Binding, control: Control) => Promise<T>,
  options?: CallOptions,
) => Promise<R>;

/** What a load asks the engine for. */
export function placeOf(
  device: DeviceName,
  dtype: ModelDtype,
  tf32 = false,
): { readonly device?: DeviceRequest } {
  if (device === "cpu" && tf32) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      'tf32 is how a GPU multiplies floats, and the device is "cpu"; leave it out, or use device "cuda"',
    );
  }
  if (device === "cpu") return {};
  if (device !== "cuda") {
    throw new KeyheadsError("NO_DEVICE", `there is no device "${device}"; use "cpu" or "cuda"`);
  }
  if (dtype === "f64") {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      'dtype f64 is for device "cpu": a GPU computes in float; use f32 or bf16',
    );
  }
  return { device: { ...cudaDevice(), ...(tf32 && { tf32 }) } };
}

interface ModelParts {
  readonly folder: string;
  readonly architecture: string;
  readonly spec: ModelSpec;
  readonly contextFrom: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: ModelDtype;
  readonly device: DeviceName;
  readonly tf32: boolean;
  readonly tokenizer: Tokenizer | undefined;
  readonly files: CheckpointFiles;
  readonly memoryBudget: number;
  readonly handle: ModelHandle;
}

function toReadout({ rows = "end", ...rest }: ReadoutOptions, batch: Batch): Readout {
  if (rows === "end") return { rows: endRows(batch.offsets), ...rest };
  if (rows === "all") return { rows: Int32Array.from(batch.tokens.keys()), ...rest };
  return { rows, ...rest };
}

function countParameters(files: CheckpointFiles): number {
  const used = new Set(files.slots.map((slot) => slot.tensor));
  let count = 0;
  for (const name of used) {
    count += (files.tensors.get(name)?.shape ?? []).reduce((product, n) => product * n, 1);
  }
  return count;
}
