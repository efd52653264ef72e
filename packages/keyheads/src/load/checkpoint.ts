// Maps every tensor of a checkpoint to the slots of the engine and every slot to a tensor. All are
// accounted for: a missing, an unused, a wrongly shaped tensor is an error, never a silence.
import { join } from "node:path";
import type { LayerSlot, ModelSlot, ModelSpec, TensorSource } from "@keyheads/native";
import type { ArchSpec, Weight } from "../archs/spec.ts";
import { KeyheadsError } from "../errors.ts";
import { readJsonObject } from "./json.ts";
import {
  exists,
  openSafetensors,
  readTensorBytes,
  type SafetensorsFile,
  type TensorInfo,
} from "./safetensors.ts";
import { slotShape } from "./slots.ts";

/** One slot of the engine and the stored tensor (or part of one) that fills it. */
export interface SlotSource extends TensorSource {
  /** The tensor's name in the file. */
  readonly tensor: string;
  readonly dtype: TensorSource["dtype"];
}

/** The files of a checkpoint and what each tensor in them is for. */
export interface CheckpointFiles {
  readonly folder: string;
  /** The weight files, in the order of their names. */
  readonly files: readonly SafetensorsFile[];
  /** model.safetensors.index.json, where the weights are in several files. */
  readonly index: string | undefined;
  /** Every stored tensor, by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Every slot; several may share a tensor. */
  readonly slots: readonly SlotSource[];
  /** Stored tensors that repeat another one: a tied output projection that was saved all the same. */
  readonly copies: ReadonlyMap<string, string>;
  /** Stored tensors that are no parameters. */
  readonly ignored: readonly string[];
}

/** Opens the weights of a folder and maps them. Reads headers only. */
export async function openCheckpoint(
  folder: string,
  arch: ArchSpec,
  spec: ModelSpec,
  flags: SlotFlags,
): Promise<CheckpointFiles> {
  const { files, index } = await openFiles(folder);
  const tensors = new Map<string, TensorInfo>();
  for (const tensor of files.flatMap((file) => file.tensors)) {
    const other = tensors.get(tensor.name);
    if (other) throw bad(`${tensor.file}: tensor "${tensor.name}" is also in ${other.file}`);
    tensors.set(tensor.name, tensor);
  }
  const slots = mapSlots(arch, spec, flags, tensors, folder);
  const used = new Set(slots.map((slot) => slot.tensor));
  const rest = [...tensors.keys()].filter((name) => !used.has(name));
  const ignorable = new Set(expand(arch.ignored ?? [], arch, spec.layers));
  const ignored = rest.filter((name) => ignorable.has(name));
  const unused = rest.filter((name) => !ignorable.has(name));
  const copies = await findCopies(unused, arch, spec, tensors, slots);
  const stray = unused.filter((name) => !copies.has(name));
  if (stray.length > 0) throw strayError(stray, tensors, arch, spec);
  return { folder, files, index, tensors, slots, copies, ignored };
}

/** Which optional slots this checkpoint's config says exist. */
export interface SlotFlags {
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
}

async function openFiles(folder: string) {
  const index = join(folder, "model.safetensors.index.json");
  const single = join(folder, "model.safetensors");
  // Where both are there, transformers takes the single file too.
  if (await exists(single)) return { index: undefined, files: [await openSafetensors(single)] };
  if (await exists(index)) return { index, files: await openShards(folder, index) };
  throw bad(
    `${folder} has no weights: expected model.safetensors, or model.safetensors.index.json with its shards` +
      ((await exists(join(folder, "pytorch_model.bin")))
        ? "; pytorch_model.bin is not read: save the model with safe_serialization=True"
        : ""),
  );
}

async function openShards(folder: string, index: string): Promise<SafetensorsFile[]> {
  const { weight_map: map } = (await readJsonObject(index)) as {
    weight_map?: Record<string, string>;
  };
  if (typeof map !== "object" || map === null) throw bad(`${index} has no weight_map`);
  const names = [...new Set(Object.values(map))].sort();
  if (names.some((name) => typeof name !== "string" || /[/\\]/.test(name))) {
    throw bad(`${index}: weight_map names a file outside the folder`);
  }
  const files = await Promise.all(names.map((name) => openSafetensors(join(folder, name))));
  const where = new Map(
    files.flatMap((file, i) => file.tensors.map((t) => [t.name, names[i]] as const)),
  );
  for (const [tensor, file] of Object.entries(map)) {
    if (where.get(tensor) !== file) {
      throw bad(
        `${index} says that tensor "${tensor}" is in ${file}; it is in ${where.get(tensor) ?? "no shard"}`,
      );
    }
  }
  return files;
}

function mapSlots(
  arch: ArchSpec,
  spec: ModelSpec,
  flags: SlotFlags,
  tensors: ReadonlyMap<string, TensorInfo>,
  folder: string,
): SlotSource[] {
  const { layer: layerWeights, ...modelWeights } = arch.weights as Weights;
  const wanted: [slot: ModelSlot | LayerSlot, layer: number, weight: Weight][] = [];
  for (const [slot, weight] of Object.entries(modelWeights)) {
    if (slot === "unembed" && spec.tied) continue;
    wanted.push([slot as ModelSlot, -1, weight]);
  }
  for (let layer = 0; layer < spec.layers; ++layer) {
    for (const [slot, weight] of Object.entries(layerWeights)) {
      if (!isAbsent(slot, flags)) wanted.push([slot as LayerSlot, layer, weight]);
    }
  }
  return wanted.map(([slot, layer, weight]) => {
    const plain = typeof weight === "string" ? { from: weight } : weight;
    const names = candidates(plain.from.replace("{i}", String(layer)), arch);
    const tensor = names.map((name) => tensors.get(name)).find((t) => t !== undefined);
    if (!tensor) throw missing(names, slot, layer, tensors, folder);
    return slotSource(slot, layer, plain, tensor, spec);
  });
}

type Weights = Record<ModelSlot, Weight> & { readonly layer: Record<LayerSlot, Weight> };

function isAbsent(slot: string, flags: SlotFlags): boolean {
  if (slot === "bq" || slot === "bk" || slot === "bv") return !flags.qkvBias;
  if (slot === "bo") return !flags.outBias;
  return (slot === "bGate" || slot === "bUp" || slot === "bDown") && !flags.mlpBias;
}

function slotSource(
  slot: ModelSlot | LayerSlot,
  layer: number,
  weight: Exclude<Weight, string>,
  tensor: TensorInfo,
  spec: ModelSpec,
): SlotSource {
  const [part, of] = weight.split ?? [0, 1];
  const [out, into] = slotShape(slot, spec);
  const whole = into === undefined ? [out * of] : [out * of, into];
  const expected = weight.transpose ? whole.toReversed() : whole;
  if (tensor.shape.join() !== expected.join()) {
    throw bad(
      `${tensor.file}: tensor "${tensor.name}" has shape [${tensor.shape.join(", ")}], expected [${expected.join(", ")}] from config.json`,
    );
  }
  const { dtype } = tensor;
  if (dtype !== "F64" && dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
    throw bad(
      `${tensor.file}: tensor "${tensor.name}" has dtype ${dtype}, expected F32, F16, BF16 or F64 (quantised checkpoints are not read)`,
    );
  }
  return {
    slot,
    layer,
    tensor: tensor.name,
    file: tensor.file,
    offset: tensor.offset,
    dtype,
    shape: tensor.shape,
    transpose: weight.transpose ?? false,
    rows: [0, out],
    start: part * out,
    length: out,
    stride: 0,
  };
}

/** With a tied embedding some files hold the output projection too; it must be the same numbers. */
async function findCopies(
  unused: readonly string[],
  arch: ArchSpec,
  spec: ModelSpec,
  tensors: ReadonlyMap<string, TensorInfo>,
  slots: readonly SlotSource[],
): Promise<Map<string, string>> {
  const copies = new Map<string, string>();
  const unembed = (arch.weights as Partial<Weights>).unembed;
  const embed = slots.find((slot) => slot.slot === "embed");
  if (!spec.tied || unembed === undefined || !embed) return copies;
  const from = typeof unembed === "string" ? unembed : unembed.from;
  for (const name of unused.filter((n) => candidates(from, arch).includes(n))) {
    const [a, b] = [tensors.get(name), tensors.get(embed.tensor)] as [TensorInfo, TensorInfo];
    if (!(await equalBytes(a, b))) {
      throw bad(
        `${a.file}: tensor "${name}" differs from "${b.name}", but config.json says that they are tied; set tie_word_embeddings to false to use both`,
      );
    }
    copies.set(name, b.name);
  }
  return copies;
}

async function equalBytes(a: TensorInfo, b: TensorInfo): Promise<boolean> {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  const chunk = 1 << 24;
  for (let at = 0; at < a.bytes; at += chunk) {
    const end = Math.min(at + chunk, a.bytes);
    const [x, y] = await Promise.all([readTensorBytes(a, at, end), readTensorBytes(b, at, end)]);
    if (Buffer.compare(x, y) !== 0) return false;
  }
  return true;
}

/** A weight's possible names: with and without the family's optional prefix. */
function candidates(name: string, arch: ArchSpec): string[] {
  return arch.optionalPrefix === undefined ? [name] : [arch.optionalPrefix + name, name];
}

function expand(patterns: readonly string[], arch: ArchSpec, layers: number): string[] {
  return patterns.flatMap((pattern) =>
    Array.from({ length: pattern.includes("{i}") ? layers : 1 }, (_, i) =>
      candidates(pattern.replace("{i}", String(i)), arch),
    ).flat(),
  );
}

function missing(
  names: readonly string[],
  slot: string,
  layer: number,
  tensors: ReadonlyMap<string, TensorInfo>,
  folder: string,
): KeyheadsError {
  const where = layer < 0 ? slot : `${slot} of layer ${layer}`;
  return bad(
    `${folder} has no tensor "${names.join('" or "')}" (${where}) among its ${tensors.size} tensors; is config.json the one of these weights?`,
  );
}

function strayError(
  stray: readonly string[],
  tensors: ReadonlyMap<string, TensorInfo>,
  arch: ArchSpec,
  spec: ModelSpec,
): KeyheadsError {
  const shown = stray
    .slice(0, 5)
    .map((name) => `"${name}" [${(tensors.get(name) as TensorInfo).shape.join(", ")}]`);
  const more = stray.length > shown.length ? ` and ${stray.length - shown.length} more` : "";
  return bad(
    `${tensors.get(stray[0] as string)?.file}: nothing uses ${shown.join(", ")}${more}; a ${arch.name} model of ${spec.layers} layers with this config.json has no such weight`,
  );
}

const bad = (message: string) => new KeyheadsError("BAD_CHECKPOINT", message);
