import { statSync } from "node:fs";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { flush } from "../save/flush.ts";

/**
 * Writes a text file whole or not at all: under another name, flushed to the disk, then renamed.
 * Makes the folder. Devices and pipes are written to as they are. Throws WRITE_FAILED; what was at
 * `path` is then unchanged.
 */
export async function writeWhole(path: string, content: string): Promise<void> {
  try {
    if (isDevice(path)) await writeFile(path, content);
    else await replace(path, content);
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("WRITE_FAILED", `${path} could not be written: ${message}`, { cause });
  }
}

/** True for what can be written to but not replaced: /dev/stdout, a named pipe. */
export function isDevice(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && !stats.isFile() && !stats.isDirectory();
}

async function replace(path: string, content: string): Promise<void> {
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(part, "w");
    try {
      await file.writeFile(content);
      await flush(file);
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw error;
  }
}
