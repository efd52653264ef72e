/** A model as its files describe it, without its weights: what --dry-run and `inspect` need. */
import { basename, join } from "node:path";
import type { ModelSpec } from "@keyheads/native";
import { type CheckpointFiles, openCheckpoint } from "../load/checkpoint.ts";
import { readConfig } from "../load/config.ts";
import { readJson } from "../load/json.ts";
import { loadTokenizer } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

export interface Blueprint {
  readonly folder: string;
  readonly name: string;
  readonly architecture: string;
  readonly spec: ModelSpec;
  readonly files: CheckpointFiles;
  readonly tokenizer: Tokenizer | undefined;
}

/** Reads config.json, the headers of the weights and the tokenizer; checks all as loading does. */
export async function openBlueprint(folder: string): Promise<Blueprint> {
  const path = join(folder, "config.json");
  const config = (await readJson(path)) as Readonly<Record<string, unknown>>;
  const { arch, spec, flags } = readConfig(config, path);
  return {
    folder,
    name: basename(folder),
    architecture: arch.name,
    spec,
    files: await openCheckpoint(folder, arch, spec, flags),
    tokenizer: await loadTokenizer(folder),
  };
}
