// A folder that appears complete or not at all: it is built under a temporary name beside its place
// and renamed. With force, what was there is moved away first and deleted last.
import { lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { flush } from "./flush.ts";

/**
 * Calls `build` with a new, empty folder and moves that to `out`; gives the full path. Throws
 * OUTPUT_EXISTS without `force`, and WRITE_FAILED with the path and the reason (a full disk). After
 * any error nothing new is left, and what was there is as before.
 */
export async function outputFolder(
  out: string,
  options: { readonly force?: boolean },
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const target = resolve(out);
  const parent = dirname(target);
  const name = basename(target);
  const temporary = join(parent, `.${name}.${process.pid}.tmp`);
  const old = join(parent, `.${name}.${process.pid}.old`);
  try {
    const replaces = await occupied(target);
    if (replaces && !options.force) {
      throw new KeyheadsError(
        "OUTPUT_EXISTS",
        `${target} exists; choose another folder, or replace it with force`,
      );
    }
    await mkdir(parent, { recursive: true });
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    await build(temporary);
    if (replaces) await rename(target, old);
    await rename(temporary, target).catch(async (cause: unknown) => {
      if (replaces) await rename(old, target);
      throw cause;
    });
    if (replaces) await rm(old, { recursive: true, force: true });
    await syncFolder(parent);
    return target;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (cause instanceof KeyheadsError) throw cause;
    const { message } = cause as Error;
    throw new KeyheadsError("WRITE_FAILED", `could not write ${target}: ${message}`, { cause });
  }
}

/** An empty folder counts as free. */
async function occupied(path: string): Promise<boolean> {
  const found = await lstat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined;
    throw cause;
  });
  if (found === undefined) return false;
  return !found.isDirectory() || (await readdir(path)).length > 0;
}

/** Makes the renames last through a power failure, where the file system can. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => undefined);
  if (folder) await flush(folder).catch(() => undefined);
  await folder?.close();
}
