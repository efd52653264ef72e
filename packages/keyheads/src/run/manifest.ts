/**
 * What a run folder says about itself: versions, hashes of everything that was read, seeds, timings,
 * peak memory. Enough to tell whether two runs should agree, and to refuse a resume that would mix
 * two different ones.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { type EngineInfo, loadBinding } from "@keyheads/native";
import { schemaVersion } from "../results.ts";
import { version } from "../version.ts";

export type RunStatus = "running" | "finished" | "failed" | "interrupted";

export interface HashedFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly schemaVersion: number;
  readonly status: RunStatus;
  /** Why it ended, where it did not finish. */
  readonly error?: string;
  readonly keyheads: string;
  readonly created: string;
  readonly finished?: string;
  /** Everything that decides the results. A resume must have the same. */
  readonly inputs: RunInputs;
  readonly machine: {
    readonly node: string;
    readonly platform: string;
    readonly engine: EngineInfo;
  };
  /** Seconds by stage. */
  readonly timings: Readonly<Record<string, number>>;
  readonly peakBytes?: number;
}

export interface RunInputs {
  readonly model: { readonly folder: string; readonly files: readonly HashedFile[] };
  readonly items?: HashedFile;
  readonly templates?: HashedFile;
  readonly tasks?: readonly string[];
  readonly seed: number;
  readonly tune: boolean;
  readonly device: string;
  /** Products of floats may have been rounded to TF32; absent: they were not. */
  readonly tf32?: true;
  readonly dtype: string;
}

/** The manifest of a run that begins now, on this machine. */
export function newManifest(inputs: RunInputs): Manifest {
  return {
    schemaVersion,
    status: "running",
    keyheads: version,
    created: new Date().toISOString(),
    inputs,
    machine: {
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      engine: loadBinding().info(),
    },
    timings: {},
  };
}

export async function hashFile(path: string): Promise<HashedFile> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { name: basename(path), bytes, sha256: hash.digest("hex") };
}

/** The files of a model folder that decide what it computes. */
export async function hashModel(folder: string): Promise<HashedFile[]> {
  const names = (await readdir(folder)).filter((name) =>
    /^(config\.json|tokenizer.*\.json|model.*\.safetensors(\.index\.json)?)$/.test(name),
  );
  const files: HashedFile[] = [];
  for (const name of names.sort()) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) files.push(await hashFile(path));
  }
  return files;
}

/** The first difference between two sets of inputs in words, or undefined. */
export function firstDifference(before: RunInputs, now: RunInputs): string | undefined {
  const flat = (inputs: RunInputs): Map<string, string> =>
    new Map([
      ...inputs.model.files.map(({ name, sha256 }) => [`model file ${name}`, sha256] as const),
      ["items", inputs.items?.sha256 ?? "none"],
      ["templates", inputs.templates?.sha256 ?? "none"],
      ["task", inputs.tasks?.join(",") ?? "the model's default"],
      ["seed", String(inputs.seed)],
      ["tuning", String(inputs.tune)],
      ["device", inputs.device],
      ["TF32", inputs.tf32 ? "on" : "off"],
      ["dtype", inputs.dtype],
    ]);
  const [a, b] = [flat(before), flat(now)];
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    const [was, is] = [a.get(key) ?? "absent", b.get(key) ?? "absent"];
    if (was !== is) return `${key} was ${was} and is now ${is}`;
  }
  return undefined;
}
