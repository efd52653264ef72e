// The residual stream that enters the lowest trained layer never changes while that layer and those
// above it are trained. It is computed once an item and kept: in memory up to a budget, beyond it in
// a file of a temporary folder up to another. Items that fit in neither are computed every time.
// Results are the same bits, because an item's values do not depend on what it is batched with.
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FloatArray, Start } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { type AnswerBatch, type AnswerSet, answerBatch } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";

export interface PrefixBudget {
  /** Bytes of memory; 1 GiB by default, 0 is no cache in memory. */
  readonly memory?: number;
  /** Bytes on disk, in the system's temporary folder; 0 by default. */
  readonly disk?: number;
}

const defaultMemory = 2 ** 30;

export class PrefixCache implements AsyncDisposable {
  readonly layer: number;
  readonly #model: Model;
  readonly #set: AnswerSet;
  readonly #room: { memory: number; disk: number };
  readonly #memory = new Map<number, FloatArray>();
  /** Where an item's bytes are in the file. */
  readonly #stored = new Map<number, number>();
  #disk: { readonly folder: string; readonly file: FileHandle; end: number } | undefined;

  /** `layer` is the lowest that is trained. */
  constructor(model: Model, set: AnswerSet, layer: number, budget: PrefixBudget = {}) {
    this.#model = model;
    this.#set = set;
    this.layer = layer;
    this.#room = { memory: budget.memory ?? defaultMemory, disk: budget.disk ?? 0 };
  }

  /** Items that are kept, in memory and on disk. */
  get kept(): { readonly memory: number; readonly disk: number } {
    return { memory: this.#memory.size, disk: this.#stored.size };
  }

  /** Where a run over these items may start. Computes what is not kept, in one run. */
  async start(items: readonly number[], batch: AnswerBatch): Promise<Start> {
    const { dModel } = this.#model.spec;
    const size = (batch.offsets[items.length] as number) * dModel;
    const residual = this.#model.dtype === "f64" ? new Float64Array(size) : new Float32Array(size);
    const missing: number[] = [];
    for (const [i, item] of items.entries()) {
      const place = residual.subarray(
        (batch.offsets[i] as number) * dModel,
        (batch.offsets[i + 1] as number) * dModel,
      );
      if (!(await this.#read(item, place))) missing.push(i);
    }
    if (missing.length > 0) await this.#compute(missing, items, batch, residual);
    return { layer: this.layer, residual };
  }

  async #read(item: number, place: FloatArray): Promise<boolean> {
    const kept = this.#memory.get(item);
    if (kept) {
      place.set(kept);
      return true;
    }
    const at = this.#stored.get(item);
    if (at === undefined || this.#disk === undefined) return false;
    const bytes = new Uint8Array(place.buffer, place.byteOffset, place.byteLength);
    const { bytesRead } = await this.#disk.file.read(bytes, 0, bytes.length, at);
    return bytesRead === bytes.length;
  }

  async #compute(
    missing: readonly number[],
    items: readonly number[],
    batch: AnswerBatch,
    residual: FloatArray,
  ): Promise<void> {
    const { dModel } = this.#model.spec;
    const { sequences } = answerBatch(
      this.#set,
      missing.map((i) => items[i] as number),
    );
    const run = await this.#model.forward({ sequences, stopAtLayer: this.layer });
    if (run.residual === undefined) throw new KeyheadsError("INTERNAL", "no residual was given");
    for (const [n, i] of missing.entries()) {
      const values = run.residual.subarray(
        (run.offsets[n] as number) * dModel,
        (run.offsets[n + 1] as number) * dModel,
      );
      residual.set(values, (batch.offsets[i] as number) * dModel);
      await this.#keep(items[i] as number, values);
    }
  }

  async #keep(item: number, values: FloatArray): Promise<void> {
    const { byteLength } = values;
    if (byteLength <= this.#room.memory) {
      this.#room.memory -= byteLength;
      this.#memory.set(item, values.slice());
    } else if (byteLength <= this.#room.disk) {
      this.#room.disk -= byteLength;
      this.#disk ??= await temporaryFile();
      const bytes = new Uint8Array(values.buffer, values.byteOffset, byteLength);
      await this.#disk.file.write(bytes, 0, byteLength, this.#disk.end);
      this.#stored.set(item, this.#disk.end);
      this.#disk.end += byteLength;
    }
  }

  /** Removes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk?.file.close();
    if (this.#disk) await rm(this.#disk.folder, { recursive: true, force: true });
  }
}

async function temporaryFile() {
  const folder = await mkdtemp(join(tmpdir(), "keyheads-prefix-"));
  return { folder, file: await open(join(folder, "residuals"), "w+"), end: 0 };
}
