// Every small model with goldens, of every family: the folders of test/fixtures.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("fixtures", import.meta.url));

/** Windows and experts are not computed yet. */
const later = ["gemma2", "mistral", "mixtral", "phi3", "qwen3", "starcoder2"];

export const families = readdirSync(root)
  .filter((name) => existsSync(join(root, name, "golden.json")) && !later.includes(name))
  .sort();
