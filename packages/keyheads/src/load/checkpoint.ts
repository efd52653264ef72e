// Maps every tensor of a checkpoint to the slots of the engine and every slot to a tensor. All are
// accounted for: a missing, an unused, a wrongly shaped tensor is an error, never a silence.
import { join } from "node:path";
import type { ModelSpec } from "@keyheads/native";
import type { ArchSpec } from "../archs/spec.ts";
import { KeyheadsError } from "../errors.ts";
import { readJsonObject } from "./json.ts";
import { candidates, mapSlots, type SlotFlags, type SlotSource } from "./map-slots.ts";
import {
  exists,
  openSafetensors,
  readTensorBytes,
  type SafetensorsFile,
  type TensorInfo,
} from "./safetensors.ts";

/** The files of a checkpoint and what each tensor in them is for. */
export interface CheckpointFiles {
  readonly folder: string;
  /** The weight files, in the order of their names. */
  readonly files: readonly SafetensorsFile[];
  /** model.safetensors.index.json, where the weights are in several files. */
  readonly index: string | undefined;
  /** Every stored tensor, by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Every slot; several may share a tensor, and one may lie in several. */
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

/** With a tied embedding some files hold the output projection too; it must be the same numbers. */
async function findCopies(
  unused: readonly string[],
  arch: ArchSpec,
  spec: ModelSpec,
  tensors: ReadonlyMap<string, TensorInfo>,
  slots: readonly SlotSource[],
): Promise<Map<string, string>> {
  const copies = new Map<string, string>();
  const { unembed } = arch.weights;
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

function expand(patterns: readonly string[], arch: ArchSpec, layers: number): string[] {
  return patterns.flatMap((pattern) =>
    Array.from({ length: pattern.includes("{i}") ? layers : 1 }, (_, i) =>
      candidates(pattern.replace("{i}", String(i)), arch),
    ).flat(),
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
