import { readFile } from "node:fs/promises";
import { KeyheadsError } from "../errors.ts";

/** Reads a JSON file. Throws BAD_CHECKPOINT with the path and the fault. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new KeyheadsError("BAD_CHECKPOINT", `cannot read ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw new KeyheadsError("BAD_CHECKPOINT", `${path} is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Reads a JSON file that holds an object. */
export async function readJsonObject(path: string): Promise<Readonly<Record<string, unknown>>> {
  const value = await readJson(path);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new KeyheadsError("BAD_CHECKPOINT", `${path} does not hold a JSON object`);
}
