// The ids that end a text: `eos_token_id`, a number, a list, or absent.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { readJsonObject } from "../load/json.ts";

type Config = Readonly<Record<string, unknown>>;

/** Those of generation_config.json, which chat models use for the end of a turn, else of config.json. */
export async function stopIds({ folder, config }: { folder: string; config: Config }) {
  const path = join(folder, "generation_config.json");
  const generation = existsSync(path) ? await readJsonObject(path) : {};
  const given = endIds(generation, path);
  return given.length > 0 ? given : endIds(config, join(folder, "config.json"));
}

/** Throws BAD_CHECKPOINT for what is no id. */
export function endIds({ eos_token_id: given }: Config, path: string): number[] {
  if (given === undefined || given === null) return [];
  const ids: unknown[] = Array.isArray(given) ? given : [given];
  if (ids.every((id): id is number => Number.isInteger(id))) return ids;
  throw new KeyheadsError(
    "BAD_CHECKPOINT",
    `${path}: eos_token_id is ${JSON.stringify(given)}, expected an id or a list of ids`,
  );
}
