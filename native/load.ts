// Finds the addon: KEYHEADS_NATIVE, then a build of this checkout, then the package for this system.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Binding } from "./binding.ts";
import { type CudaStatus, cudaStatus as statusOf } from "./cuda.ts";
import { explainFailure, type FailedAttempt, loadError, remedyFor } from "./explain.ts";
import { schemaHash } from "./generated/schema.ts";
import { version } from "./generated/version.ts";
import { installedVersion, openPrebuilt, prebuiltFile } from "./prebuilt.ts";
import { targetsFor, thisSystem } from "./system.ts";
import type { TargetName } from "./targets.ts";

export type * from "./binding.ts";
export { type CudaDevice, type CudaLibrary, type CudaStatus, findCudaLibrary } from "./cuda.ts";
export * from "./generated/schema.ts";
export { version } from "./generated/version.ts";
export { describeSystem, type System, targetsFor, thisSystem } from "./system.ts";
export { olderThan, oldestGlibc, oldestNode, type TargetName, targets } from "./targets.ts";

/** Where the addon came from. */
export interface LoadedFrom {
  readonly kind: "KEYHEADS_NATIVE" | "local build" | "package";
  /** A file, or the name and version of a package. */
  readonly source: string;
  readonly file: string;
}

let loaded: { readonly binding: Binding; readonly from: LoadedFrom } | undefined;

/** Loads the addon once. Throws NO_BINARY or STALE_BINARY with what was found and the remedy. */
export function loadBinding(): Binding {
  loaded ??= load();
  return loaded.binding;
}

/** Where loadBinding() found the addon. */
export function loadedFrom(): LoadedFrom {
  loaded ??= load();
  return loaded.from;
}

/** What this machine has for CUDA. Throws as loadBinding() does. */
export const cudaStatus = (): CudaStatus => statusOf({ addon: loadedFrom().file, version });

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
/** This file runs from native/ (sources) and from native/dist/ (built). */
const localBuilds = [here, dirname(here)].map((folder) =>
  join(folder, "build", "Release", "keyheads.node"),
);

function load(): NonNullable<typeof loaded> {
  const given = process.env.KEYHEADS_NATIVE;
  if (given) return fromFile(given, "KEYHEADS_NATIVE", "set KEYHEADS_NATIVE to another file");
  const local = localBuilds.find(existsSync);
  if (local) return fromFile(local, "local build", "run `npm run setup`");
  return fromPackage();
}

function fromFile(path: string, kind: LoadedFrom["kind"], remedy: string) {
  let binding: Binding;
  try {
    binding = require(path) as Binding;
  } catch (cause) {
    const todo = remedyFor(cause, remedy);
    throw loadError("NO_BINARY", `${kind} ${path} could not be loaded; ${todo}`, cause);
  }
  return { binding: checked(binding, path, remedy), from: { kind, source: path, file: path } };
}

/** Package managers that know `libc` install one package only; others may leave two. */
function fromPackage(): NonNullable<typeof loaded> {
  const { platform: os, arch: cpu, version: node } = process;
  const failed: FailedAttempt[] = [];
  for (const name of targetsFor({ os, cpu, node })) {
    const found = installedVersion(name);
    if (found === undefined) continue;
    const source = `@keyheads/${name} ${found}`;
    if (found !== version) throw differentVersion(name, found);
    try {
      const binding = checked(openPrebuilt(name), source, reinstall);
      return { binding, from: { kind: "package", source, file: prebuiltFile(name) } };
    } catch (cause) {
      if ((cause as { code?: string }).code === "STALE_BINARY") throw cause;
      failed.push({ name, cause });
    }
  }
  throw explainFailure(thisSystem(), failed);
}

const reinstall = `install keyheads ${version} again: npm install keyheads@${version}`;

function differentVersion(name: TargetName, found: string): Error {
  return loadError(
    "STALE_BINARY",
    `@keyheads/${name} is version ${found}, and keyheads is version ${version}: both must be the same; ${reinstall}`,
  );
}

function checked(binding: Binding, source: string, remedy: string): Binding {
  if (binding.schemaHash === schemaHash) return binding;
  throw loadError(
    "STALE_BINARY",
    `${source} was built from another hook table (${binding.schemaHash}, expected ${schemaHash}); ${remedy}`,
  );
}
