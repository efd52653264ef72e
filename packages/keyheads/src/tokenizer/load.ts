// Finds a model folder's tokenizer.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { readJsonObject } from "../load/json.ts";
import { JsonTokenizer } from "./json-tokenizer.ts";
import type { Tokenizer } from "./types.ts";

/** The tokenizer of a folder; undefined if it has no tokenizer.json. */
export async function loadTokenizer(folder: string): Promise<Tokenizer | undefined> {
  const path = join(folder, "tokenizer.json");
  if (!existsSync(path)) return undefined;
  const configPath = join(folder, "tokenizer_config.json");
  const config = existsSync(configPath) ? await readJsonObject(configPath) : {};
  return new JsonTokenizer(await readJsonObject(path), config, path);
}

/** What to say when text is needed and there is no tokenizer. */
export function missingTokenizer(folder: string): KeyheadsError {
  const other = ["tokenizer.model", "vocab.json"].find((name) => existsSync(join(folder, name)));
  const remedy = other
    ? `it has ${other}, which is not read: convert it, e.g. with AutoTokenizer.from_pretrained(folder).save_pretrained(folder) in transformers`
    : "copy it from where the model was published, or give token ids (prompt_ids, answer_ids) instead of text";
  return new KeyheadsError("NO_TOKENIZER", `${folder} has no tokenizer.json; ${remedy}`);
}
