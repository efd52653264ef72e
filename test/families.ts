// Every small model with goldens, of every family: the folders of test/fixtures.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("fixtures", import.meta.url));

export const families = readdirSync(root)
  .filter((name) => existsSync(join(root, name, "golden.json")))
  .sort();
