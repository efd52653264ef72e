// Finds a model folder's tokenizer.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { readJsonObject } from "../load/json.ts";
import { readChatTemplates } from "./chat-files.ts";
import { JsonTokenizer } from "./json-tokenizer.ts";
import type { Tokenizer } from "./types.ts";

type Config = Readonly<Record<string, unknown>>;

/**
 * The tokenizer of a folder; undefined if it has no tokenizer.json. Throws BAD_CHECKPOINT, naming
 * file and part, where a file is broken or asks for what is not known.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer | undefined> {
  const path = join(folder, "tokenizer.json");
  if (!existsSync(path)) return undefined;
  const configPath = join(folder, "tokenizer_config.json");
  const config = await readConfig(folder, configPath);
  const json = await readJsonObject(path);
  const templates = await readChatTemplates(folder, config, configPath);
  return new JsonTokenizer({ json, path, config, configPath, templates });
}

/** tokenizer_config.json; older folders have their special tokens in special_tokens_map.json. */
async function readConfig(folder: string, path: string): Promise<Config> {
  const config = existsSync(path) ? await readJsonObject(path) : {};
  const mapPath = join(folder, "special_tokens_map.json");
  if ("added_tokens_decoder" in config || !existsSync(mapPath)) return config;
  return { ...config, ...(await readJsonObject(mapPath)) };
}

const otherFiles = [
  "tokenizer.model",
  "tokenizer.model.v1",
  "tokenizer.model.v2",
  "tokenizer.model.v3",
  "tekken.json",
  "spiece.model",
  "sentencepiece.bpe.model",
  "tiktoken.model",
  "qwen.tiktoken",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
];

/** What to say when text is needed and there is no tokenizer. */
export function missingTokenizer(folder: string): KeyheadsError {
  const others = otherFiles.filter((name) => existsSync(join(folder, name)));
  const remedy =
    others.length > 0
      ? `it has ${others.join(" and ")}, which ${others.length > 1 ? "are" : "is"} not read. Make it with transformers: ${command(folder)}`
      : "copy it from where the model was published, or give token ids (prompt_ids, answer_ids) instead of text";
  return new KeyheadsError("NO_TOKENIZER", `${folder} has no tokenizer.json; ${remedy}`);
}

function command(folder: string): string {
  const quoted = `'${folder.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const code = `from transformers import AutoTokenizer; AutoTokenizer.from_pretrained(${quoted}).save_pretrained(${quoted})`;
  return `python -c "${code.replaceAll(/["$`\\]/g, "\\$&")}"`;
}
