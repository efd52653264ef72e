// Remembers what a step was done for, so that it is skipped while nothing that it reads has changed.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { cacheFolder, root } from "./process.mjs";

const pathOf = (step) => join(cacheFolder, "stamps", step);

/** The key that the step was last finished with. */
export function stampOf(step) {
  try {
    return readFileSync(pathOf(step), "utf8");
  } catch {
    return undefined;
  }
}

export function writeStamp(step, key) {
  mkdirSync(dirname(pathOf(step)), { recursive: true });
  writeFileSync(pathOf(step), key);
}

export function clearStamp(step) {
  rmSync(pathOf(step), { force: true });
}

/** A hash of strings and of the contents of files; folders are read as a whole. */
export function keyOf({ text = [], paths = [] }) {
  const hash = createHash("sha256").update(JSON.stringify(text));
  for (const path of paths.flatMap((entry) => filesUnder(join(root, entry)))) {
    hash.update(`\0${relative(root, path)}\0`).update(readFileSync(path));
  }
  return hash.digest("hex");
}

const skipped = new Set(["node_modules", "build", "dist"]);

function filesUnder(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return [];
  if (!stats.isDirectory()) return [path];
  return readdirSync(path)
    .filter((name) => !skipped.has(name))
    .sort()
    .flatMap((name) => filesUnder(join(path, name)));
}
