import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { KeyheadsError } from "../errors.ts";

/**
 * Writes a text file whole or not at all: under another name, flushed to the disk, then renamed.
 * Makes the folder. Throws WRITE_FAILED; what was at `path` is then unchanged.
 */
export async function writeWhole(path: string, content: string): Promise<void> {
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(part, "w");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (cause) {
    await rm(part, { force: true }).catch(() => {});
    const { message } = cause as Error;
    throw new KeyheadsError("WRITE_FAILED", `${path} could not be written: ${message}`, { cause });
  }
}
