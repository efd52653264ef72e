// A loaded model: weights in the engine, its sizes, its tokenizer, and the calls on it. Everything
// that is computed crosses the boundary as data (native/binding.ts).
import { basename, join, resolve } from "node:path";
import type {
  Batch,
  FloatArray,
  ModelHandle,
  ModelSpec,
  Objective,
  Readout,
  Slice,
  SlotRef,
  SweepRequest,
  SweepResult,
} from "@keyheads/native";
import { type CallOptions, callEngine } from "./engine.ts";
import { KeyheadsError } from "./errors.ts";
import { type GenerateOptions, generateTokens } from "./generate.ts";
import { OwnedHandle } from "./handle.ts";
import { type CheckpointFiles, openCheckpoint } from "./load/checkpoint.ts";
import { readConfig } from "./load/config.ts";
import { readJsonObject } from "./load/json.ts";
import { endRows, pack, type Sequence } from "./packing.ts";
import { type HookEdit, type SiteOptions, toEdit, toFloats, toSite } from "./sites.ts";
import { loadTokenizer, missingTokenizer } from "./tokenizer/load.ts";
import type { Tokenizer } from "./tokenizer/types.ts";
import { Trainer } from "./trainer.ts";

export type { CallOptions } from "./engine.ts";
export type { HookEdit, SiteOptions } from "./sites.ts";

export interface LoadOptions {
  /** f64 is the slow twin that f32 is judged against. */
  readonly dtype?: "f32" | "f64";
  readonly device?: "cpu" | "cuda";
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
}

export interface ForwardOptions extends CallOptions {
  /** Token ids; sequences may differ in length. */
  readonly sequences: readonly Sequence[];
  readonly captures?: readonly SiteOptions[];
  readonly edits?: readonly HookEdit[];
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
  /** [rows, vocab] or [rows, width]. */
  readonly logits?: FloatArray;
  readonly argmax?: Int32Array;
  readonly logsumexp?: FloatArray;
  /** Where each sequence begins in the packed rows; one longer than the sequences. */
  readonly offsets: Int32Array;
}

export interface BackwardOptions extends CallOptions {
  readonly sequences: readonly Sequence[];
  readonly objective: Objective;
  /** Sites whose gradients are wanted. */
  readonly gradients: readonly SiteOptions[];
  readonly captures?: readonly SiteOptions[];
  readonly edits?: readonly HookEdit[];
}

export interface BackwardOutput {
  readonly objective: number;
  readonly perRow: FloatArray;
  readonly captures: FloatArray[];
  readonly gradients: FloatArray[];
  readonly offsets: Int32Array;
}

export interface SweepOptions extends Omit<SweepRequest, "batch"> {
  readonly sequences: readonly Sequence[];
}

export class Model implements Disposable {
  readonly folder: string;
  /** Last part of the folder's path. */
  readonly name: string;
  /** Name of the family: "gpt2", "llama". */
  readonly architecture: string;
  readonly spec: ModelSpec;
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: "f32" | "f64";
  readonly device: "cpu" = "cpu";
  /** Tied weights count once. */
  readonly parameterCount: number;
  /** undefined if the folder has no tokenizer.json. */
  readonly tokenizer: Tokenizer | undefined;
  readonly files: CheckpointFiles;
  readonly #handle: OwnedHandle<ModelHandle>;

  /** Use `Model.load(folder)`. */
  constructor(parts: ModelParts) {
    this.folder = parts.folder;
    this.name = basename(parts.folder);
    this.architecture = parts.architecture;
    this.spec = parts.spec;
    this.config = parts.config;
    this.dtype = parts.dtype;
    this.tokenizer = parts.tokenizer;
    this.files = parts.files;
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
    const { dtype = "f32", device = "cpu", memoryBudget = 0 } = options;
    if (device !== "cpu") {
      throw new KeyheadsError("NO_DEVICE", `device "${device}" is not available; use "cpu"`);
    }
    const path = join(folder, options.configFile ?? "config.json");
    const config = await readJsonObject(path);
    const { arch, spec, flags } = readConfig(config, path, options);
    const files = await openCheckpoint(folder, arch, spec, flags);
    const tokenizer = await loadTokenizer(folder);
    const handle = await callEngine((binding, control) => {
      if (options.threads !== undefined) binding.setThreads(options.threads);
      const request = { spec, tensors: files.slots, dtype, memoryBudget };
      return binding.loadModel(request, control);
    }, options);
    return new Model({
      folder: resolve(folder),
      architecture: arch.name,
      spec,
      config,
      dtype,
      tokenizer,
      files,
      handle,
    });
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
    return pack(sequences, this.spec);
  }

  /** One forward pass over a batch of sequences, with captures, edits and the logits asked for. */
  async forward(options: ForwardOptions): Promise<ForwardOutput> {
    const batch = this.pack(options.sequences);
    const sites = this.#sites(options, batch);
    const readout = options.readout && toReadout(options.readout, batch);
    const request = { batch, ...sites, ...(readout && { readout }) };
    const result = await callEngine(
      (binding, control) => binding.forward(this.handle, request, control),
      options,
    );
    return { ...result, captures: [...result.captures], offsets: batch.offsets };
  }

  /** Value and gradient, at hook points, of an objective. */
  async backward(options: BackwardOptions): Promise<BackwardOutput> {
    const batch = this.pack(options.sequences);
    const request = {
      batch,
      ...this.#sites(options, batch),
      objective: {
        ...options.objective,
        weights: toFloats(options.objective.weights, this.dtype),
      },
      gradients: options.gradients.map((site) => toSite(site, this.spec, batch)),
    };
    const result = await callEngine(
      (binding, control) => binding.backward(this.handle, request, control),
      options,
    );
    const { captures, gradients } = result;
    return {
      ...result,
      captures: [...captures],
      gradients: [...gradients],
      offsets: batch.offsets,
    };
  }

  /** One base run and many variants of it (see SweepRequest in native/binding.ts). */
  async sweep({ sequences, ...rest }: SweepOptions, call?: CallOptions): Promise<SweepResult> {
    const batch = this.pack(sequences);
    return await callEngine(
      (binding, control) => binding.sweep(this.handle, { batch, ...rest }, control),
      call,
    );
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
  async readWeight(slot: SlotRef, call?: CallOptions): Promise<FloatArray> {
    return await callEngine(
      (binding, control) => binding.readWeight(this.handle, slot, control),
      call,
    );
  }

  /** Overwrites a whole weight; the inverse of readWeight. */
  async writeWeight(slot: SlotRef, value: FloatArray, call?: CallOptions): Promise<void> {
    const floats = toFloats(value, this.dtype);
    await callEngine(
      (binding, control) => binding.writeWeight(this.handle, slot, floats, control),
      call,
    );
  }

  /** A trainer of these slices, which must be disjoint; only they will change. */
  async createTrainer(slices: readonly Slice[], call?: CallOptions): Promise<Trainer> {
    const handle = await callEngine(
      (binding, control) => binding.createTrainer(this.handle, { slices }, control),
      call,
    );
    return new Trainer(this, handle, slices);
  }

  /** Frees the weights. */
  dispose(): void {
    this.#handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #sites(
    options: { captures?: readonly SiteOptions[]; edits?: readonly HookEdit[] },
    batch: Batch,
  ) {
    return {
      captures: (options.captures ?? []).map((site) => toSite(site, this.spec, batch)),
      edits: (options.edits ?? []).map((edit) => toEdit(edit, this.spec, batch, this.dtype)),
    };
  }
}

interface ModelParts {
  readonly folder: string;
  readonly architecture: string;
  readonly spec: ModelSpec;
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: "f32" | "f64";
  readonly tokenizer: Tokenizer | undefined;
  readonly files: CheckpointFiles;
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
