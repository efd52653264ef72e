import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";

/** results.json of a run folder as parsed JSON, unchecked. Throws USAGE where there is none. */
export async function readResults(folder: string): Promise<unknown> {
  const path = join(folder, "results.json");
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("USAGE", `${folder} holds no results of a run: ${message}`, { cause });
  }
}
