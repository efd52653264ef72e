// A tuned model as a full Hugging Face folder. Weight files are copied and only the entries of the
// trained slices are written over them, so that names, layouts, dtypes, sharding and every other bit
// stay as they were.
import { chmod, copyFile, open, readdir, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { Slice } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import type { SlotSource } from "../load/map-slots.ts";
import { openSafetensors, readTensorBytes, type TensorInfo } from "../load/safetensors.ts";
import { slotKey, slotShape } from "../load/slots.ts";
import type { Model } from "../model.ts";
import { encoders } from "./encode.ts";
import { flush } from "./flush.ts";
import { outputFolder } from "./output-folder.ts";
import { storeSlice, tensorOf } from "./stored.ts";

export interface SaveOptions {
  /** What was trained; only these entries are written, the rest is copied from the source. */
  readonly slices: readonly Slice[];
  /** Replace an existing output, once the new one is complete. */
  readonly force?: boolean;
  /** Written as keyheads.json. */
  readonly manifest?: object;
  /** Files to copy beside the model. */
  readonly files?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface SavedModel {
  readonly folder: string;
  /** Tensors with trained entries. */
  readonly tensors: readonly string[];
}

/** What belongs to a model besides its weights. Other files may not be true of a tuned one. */
const companions =
  /^(config\.json|generation_config\.json|tokenizer.*|vocab.*|merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template.*|.*\.model|.*\.tiktoken|LICEN[CS]E.*|NOTICE.*|COPYING.*|USE_POLICY.*)$/i;

/**
 * Writes the model to the folder `out`, which must not hold anything unless `force` is set. Values
 * are rounded to the dtype of the file. Throws OUTPUT_EXISTS, WRITE_FAILED (a full disk), or
 * NON_FINITE for a weight that its file's dtype cannot hold; nothing half-written is left.
 */
export async function saveModel(
  model: Model,
  out: string,
  options: SaveOptions,
): Promise<SavedModel> {
  if ((model.delta.addedSlices ?? []).length > 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${model.name} carries added weights, which its files have no place for; bake them in first (mergeAdded)`,
    );
  }
  if (resolve(out) === resolve(model.folder)) {
    throw new KeyheadsError(
      "OUTPUT_EXISTS",
      `${out} is the folder that the model was loaded from; save to another one`,
    );
  }
  let tensors: string[] = [];
  const folder = await outputFolder(out, options, async (temporary) => {
    await copyFiles(model, temporary, options.signal);
    tensors = await writeTrained(model, temporary, options);
    for (const file of options.files ?? []) await copy(file, temporary);
    if (options.manifest === undefined) return;
    const text = `${JSON.stringify(options.manifest, null, 2)}\n`;
    await writeFile(join(temporary, "keyheads.json"), text);
  });
  return { folder, tensors };
}

async function copyFiles({ folder, files }: Model, to: string, signal?: AbortSignal) {
  const names = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => !entry.isDirectory() && companions.test(entry.name))
    .map((entry) => entry.name);
  const index = files.index === undefined ? [] : [basename(files.index)];
  for (const name of new Set([...names, ...index])) await copy(join(folder, name), to);
  for (const { path, tensors } of files.files) {
    stopIf(signal);
    const copied = await openSafetensors(await copy(path, to));
    const placed = (all: readonly TensorInfo[]) =>
      JSON.stringify(all.map(({ name, dtype, shape, offset }) => [name, dtype, shape, offset]));
    if (placed(copied.tensors) === placed(tensors)) continue;
    throw new KeyheadsError("BAD_CHECKPOINT", `${path} was replaced since the model was loaded`);
  }
}

/** Copies a file into a folder; the copy can be written even if the file could not. */
async function copy(path: string, to: string): Promise<string> {
  const target = join(to, basename(path));
  await copyFile(path, target);
  await chmod(target, 0o644);
  return target;
}

/** Writes the trained entries over the copied ones, tensor by tensor, and their tied copies. */
async function writeTrained(model: Model, folder: string, options: SaveOptions): Promise<string[]> {
  const { files } = model;
  const { signal } = options;
  const slices = [...model.delta.slices, ...options.slices];
  const trained = new Set(slices.map(slotKey));
  const byTensor = new Map<string, SlotSource[]>();
  for (const slot of files.slots.filter((source) => trained.has(slotKey(source)))) {
    byTensor.set(slot.tensor, [...(byTensor.get(slot.tensor) ?? []), slot]);
  }
  const written: string[] = [];
  for (const [name, slots] of byTensor) {
    stopIf(signal);
    const source = tensorOf(files, name);
    const bytes = await readTensorBytes(source);
    for (const slot of slots) await storeSlot(model, slot, slices, bytes);
    const copies = [...files.copies].filter(([, of]) => of === name).map(([copied]) => copied);
    for (const target of [name, ...copies]) {
      await overwrite(tensorOf(files, target), folder, bytes);
      written.push(target);
    }
  }
  return written;
}

async function storeSlot(
  model: Model,
  slot: SlotSource,
  slices: readonly Slice[],
  bytes: Uint8Array,
): Promise<void> {
  const [, columns = 1] = slotShape(slot.slot, model.spec);
  const weight = await model.readWeight(slot);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const slice of slices.filter((other) => slotKey(other) === slotKey(slot))) {
    storeSlice(view, slot, slice, weight, columns, encoders[slot.dtype]);
  }
}

/** Writes a tensor's bytes to their place in the copy of its file. */
async function overwrite(tensor: TensorInfo, folder: string, bytes: Uint8Array): Promise<void> {
  const file = await open(join(folder, basename(tensor.file)), "r+");
  try {
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      done += (await file.write(bytes, done, left, tensor.offset + done)).bytesWritten;
    }
    await flush(file);
  } finally {
    await file.close();
  }
}

function stopIf(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new KeyheadsError("CANCELLED", "saving the model was cancelled");
}
