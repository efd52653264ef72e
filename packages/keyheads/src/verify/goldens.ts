// Golden reference data: golden.safetensors (tensors) and golden.json (sets of heads, slices,
// measured rounding errors), in the format that FORMAT.md beside this file describes.
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { readJson } from "../load/json.ts";
import { openSafetensors, readTensor, type TensorInfo } from "../load/safetensors.ts";

/** What golden.json holds, as far as it is used. */
export interface GoldenSettings {
  readonly left_padding: readonly number[];
  readonly loss_targets: number;
  readonly adamw: {
    readonly lr: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weight_decay: number;
  };
  readonly masked: { readonly slices: readonly GoldenSlice[] };
  readonly knock_out_sets: readonly {
    readonly heads: readonly (readonly [layer: number, head: number])[];
    readonly mlps: readonly number[];
  }[];
  readonly generation: readonly {
    readonly prompt: readonly number[];
    readonly tokens: readonly number[];
  }[];
  /** Per group: how far the stored float32 numbers are from float64. */
  readonly float32_deviation: Readonly<Record<string, Deviation>>;
  /** How far the logits of transformers in bfloat16 are from float64. */
  readonly bfloat16_deviation: Deviation;
}
export interface Deviation {
  readonly max_abs: number;
  readonly rms: number;
}
/** Part of a stored tensor; all of it without `dim`. */
export interface GoldenSlice {
  readonly tensor: string;
  readonly dim?: number;
  readonly start?: number;
  readonly stop?: number;
}

export class TensorFile {
  readonly path: string;
  readonly #tensors: ReadonlyMap<string, TensorInfo>;

  constructor(path: string, tensors: readonly TensorInfo[]) {
    this.path = path;
    this.#tensors = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  }

  static async open(path: string): Promise<TensorFile> {
    return new TensorFile(path, (await openSafetensors(path)).tensors);
  }

  get names(): string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  shape(name: string): readonly number[] {
    return this.#info(name).shape;
  }

  async read(name: string): Promise<Float64Array> {
    return await readTensor(this.#info(name));
  }

  /** A [rows, columns] tensor of integers as rows. */
  async readRows(name: string): Promise<number[][]> {
    const values = await this.read(name);
    const [rows = 0, columns = 0] = this.shape(name);
    return Array.from({ length: rows }, (_, r) => [
      ...values.subarray(r * columns, (r + 1) * columns),
    ]);
  }

  #info(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (info) return info;
    throw new KeyheadsError("BAD_CHECKPOINT", `${this.path} has no tensor "${name}"`);
  }
}

export interface Goldens {
  readonly folder: string;
  readonly tensors: TensorFile;
  readonly settings: GoldenSettings;
}

export async function openGoldens(folder: string): Promise<Goldens> {
  return {
    folder,
    tensors: await TensorFile.open(join(folder, "golden.safetensors")),
    settings: (await readJson(join(folder, "golden.json"))) as GoldenSettings,
  };
}
