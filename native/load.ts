import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Binding } from "./binding.ts";
import { schemaHash } from "./generated/schema.ts";

export type * from "./binding.ts";
export * from "./generated/schema.ts";

const here = dirname(fileURLToPath(import.meta.url));
/** This file runs from native/ (sources) and from native/dist/ (built). */
const candidates = [
  process.env.KEYHEADS_NATIVE,
  join(here, "build", "Release", "keyheads.node"),
  join(here, "..", "build", "Release", "keyheads.node"),
].filter((path) => path !== undefined);

let loaded: Binding | undefined;

/** Loads the addon once. Throws with what was tried and the remedy. */
export function loadBinding(): Binding {
  loaded ??= load();
  return loaded;
}

function load(): Binding {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const path of candidates) {
    let binding: Binding;
    try {
      binding = require(path) as Binding;
    } catch (cause) {
      tried.push(`${path}: ${(cause as Error).message.split("\n")[0]}`);
      continue;
    }
    if (binding.schemaHash !== schemaHash) {
      throw environmentError(
        "STALE_BINARY",
        `${path} was built from another hook table (${binding.schemaHash}, expected ${schemaHash}); run \`npm run setup\``,
      );
    }
    return binding;
  }
  throw environmentError(
    "NO_BINARY",
    `the keyheads addon could not be loaded; run \`npm run setup\` to build it. Tried:\n  ${tried.join("\n  ")}`,
  );
}

function environmentError(code: "STALE_BINARY" | "NO_BINARY", message: string): Error {
  return Object.assign(new Error(message), { code });
}
