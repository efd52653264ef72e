// The only place that names the packages with prebuilt addons. Each `require` has a literal, so that
// bundlers and tracers see what may be loaded.
import { createRequire } from "node:module";
import type { Binding } from "./binding.ts";
import { type TargetName, targets } from "./targets.ts";

const require = createRequire(import.meta.url);

interface Manifest {
  readonly name: string;
  readonly version: string;
}

interface Prebuilt {
  open(): Binding;
  file(): string;
  manifest(): Manifest;
}

const prebuilt: Readonly<Record<TargetName, Prebuilt>> = {
  "linux-x64-gnu": {
    open: () => require("@keyheads/linux-x64-gnu"),
    file: () => require.resolve("@keyheads/linux-x64-gnu"),
    manifest: () => require("@keyheads/linux-x64-gnu/package"),
  },
  "linux-x64-musl": {
    open: () => require("@keyheads/linux-x64-musl"),
    file: () => require.resolve("@keyheads/linux-x64-musl"),
    manifest: () => require("@keyheads/linux-x64-musl/package"),
  },
  "linux-arm64-gnu": {
    open: () => require("@keyheads/linux-arm64-gnu"),
    file: () => require.resolve("@keyheads/linux-arm64-gnu"),
    manifest: () => require("@keyheads/linux-arm64-gnu/package"),
  },
  "darwin-arm64": {
    open: () => require("@keyheads/darwin-arm64"),
    file: () => require.resolve("@keyheads/darwin-arm64"),
    manifest: () => require("@keyheads/darwin-arm64/package"),
  },
  "darwin-x64": {
    open: () => require("@keyheads/darwin-x64"),
    file: () => require.resolve("@keyheads/darwin-x64"),
    manifest: () => require("@keyheads/darwin-x64/package"),
  },
  "win32-x64": {
    open: () => require("@keyheads/win32-x64"),
    file: () => require.resolve("@keyheads/win32-x64"),
    manifest: () => require("@keyheads/win32-x64/package"),
  },
};

/** The version of a package that is installed, or undefined. */
export function installedVersion(name: TargetName): string | undefined {
  try {
    return prebuilt[name].manifest().version;
  } catch {
    return undefined;
  }
}

export const openPrebuilt = (name: TargetName): Binding => prebuilt[name].open();

/** The addon's file in an installed package. */
export const prebuiltFile = (name: TargetName): string => prebuilt[name].file();

/** All packages with addons that are installed, for this system or another. */
export function installedTargets(): readonly TargetName[] {
  const names = Object.keys(targets) as TargetName[];
  return names.filter((name) => installedVersion(name) !== undefined);
}

/** The version of the CUDA package that is installed, or undefined. */
export function installedCuda(): string | undefined {
  try {
    return (require("@keyheads/cuda-linux-x64/package") as Manifest).version;
  } catch {
    return undefined;
  }
}

/** The library's file in that package, or undefined. */
export function cudaLibraryFile(): string | undefined {
  try {
    return require.resolve("@keyheads/cuda-linux-x64");
  } catch {
    return undefined;
  }
}
