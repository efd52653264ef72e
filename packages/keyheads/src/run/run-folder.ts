/**
 * One folder of one run: manifest.json, the results, and what each finished stage computed, so that
 * an interrupted run goes on where it stopped. Every file is written whole or not at all.
 */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { firstDifference, type Manifest, type RunStatus } from "./manifest.ts";
import { writeWhole } from "./write-whole.ts";

/** Computes a stage once: a resumed run gets what it computed the first time (as JSON keeps it). */
export type Stage = <T>(name: string, compute: () => Promise<T>) => Promise<T>;

export class RunFolder {
  readonly path: string;
  #manifest: Manifest;

  private constructor(path: string, manifest: Manifest) {
    this.path = path;
    this.#manifest = manifest;
  }

  /** A new folder. Throws OUTPUT_EXISTS; with `force` an older run (and nothing else) is replaced. */
  static async create(path: string, manifest: Manifest, force: boolean): Promise<RunFolder> {
    refuseRunFolder(path, force);
    await rm(path, { recursive: true, force: true });
    const folder = new RunFolder(path, manifest);
    await folder.#save();
    return folder;
  }

  /** The folder of an unfinished run. Throws USAGE where it is none, or one of other inputs. */
  static async resume(path: string, manifest: Manifest): Promise<RunFolder> {
    const before = await readManifest(path);
    if (before.status === "finished") {
      throw new KeyheadsError("USAGE", `${path} is finished; there is nothing to resume`);
    }
    const difference = firstDifference(before.inputs, manifest.inputs);
    const version = before.keyheads === manifest.keyheads ? undefined : before.keyheads;
    if (difference !== undefined || version !== undefined) {
      throw new KeyheadsError(
        "USAGE",
        `${path} cannot be resumed: ${difference ?? `it was made by keyheads ${version}`}; start a new run`,
      );
    }
    const { created, timings } = before;
    const folder = new RunFolder(path, { ...manifest, created, timings });
    await folder.#save();
    return folder;
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  readonly stage: Stage = async <T>(name: string, compute: () => Promise<T>): Promise<T> => {
    if (!/^[a-z0-9.-]+$/i.test(name)) {
      throw new KeyheadsError("INTERNAL", `"${name}" is no name of a stage`);
    }
    const file = join("stages", `${name}.json`);
    if (existsSync(join(this.path, file))) {
      return JSON.parse(await readFile(join(this.path, file), "utf8")) as T;
    }
    const start = performance.now();
    const value = await compute();
    await this.write(file, JSON.stringify(value));
    const seconds = (performance.now() - start) / 1000;
    const timings = { ...this.#manifest.timings, [name]: seconds };
    this.#manifest = { ...this.#manifest, timings };
    await this.#save();
    return value;
  };

  /** Writes a file of the run, whole or not at all. Throws WRITE_FAILED. */
  write(name: string, content: string): Promise<void> {
    return writeWhole(join(this.path, name), content);
  }

  /** Records how the run ended. Stages are kept only while there is something to resume. */
  async end(status: RunStatus, more: { peakBytes?: number; error?: string } = {}): Promise<void> {
    const finished = new Date().toISOString();
    this.#manifest = { ...this.#manifest, status, finished, ...more };
    await this.#save();
    if (status === "finished")
      await rm(join(this.path, "stages"), { recursive: true, force: true });
  }

  #save(): Promise<void> {
    return this.write("manifest.json", `${JSON.stringify(this.#manifest, undefined, 2)}\n`);
  }
}

/** Throws OUTPUT_EXISTS unless a new run may be written here. */
export function refuseRunFolder(path: string, force: boolean): void {
  if (!existsSync(path)) return;
  if (!force) {
    throw new KeyheadsError(
      "OUTPUT_EXISTS",
      `${path} exists; give another --out, --force to replace it, or --resume ${path} to go on`,
    );
  }
  if (existsSync(join(path, "manifest.json"))) return;
  throw new KeyheadsError(
    "OUTPUT_EXISTS",
    `${path} is not the folder of a run (it has no manifest.json), so --force does not replace it`,
  );
}

async function readManifest(path: string): Promise<Manifest> {
  try {
    return JSON.parse(await readFile(join(path, "manifest.json"), "utf8")) as Manifest;
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("USAGE", `${path} is not the folder of a run: ${message}`, { cause });
  }
}
