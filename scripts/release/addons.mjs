// The packages with prebuilt addons that this machine can build.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { targetsFor, thisSystem } from "../../native/dist/system.js";
import { targets } from "../../native/dist/targets.js";
import { firstCommand, outputOf, root, runLogged, StepError } from "../lib/process.mjs";
import { checkAddon } from "../lib/symbols.mjs";
import { addonManifest, targetNames, writeJson } from "./manifests.mjs";
import { writeAddonNotices } from "./notices.mjs";

const native = join(root, "native");
const [host] = targetsFor(thisSystem());

const zig = process.env.ZIG || "zig";

/**
 * Cross-compilers, by target: what must be installed, CMake's toolchain, binutils, C++ library. A
 * `trial` shows that the sources compile and link; what is published is built on such a system.
 */
const cross = {
  "linux-arm64-gnu": {
    command: "aarch64-linux-gnu-g++",
    toolchain: "aarch64-linux-gnu.cmake",
    strip: "aarch64-linux-gnu-strip",
    runtime: "gcc",
  },
  "linux-x64-musl": {
    command: zig,
    toolchain: "x86_64-linux-musl.cmake",
    strip: "strip",
    runtime: "llvm",
  },
  "win32-x64": {
    command: "x86_64-w64-mingw32-g++-posix",
    toolchain: "x86_64-w64-mingw32.cmake",
    strip: "x86_64-w64-mingw32-strip",
    runtime: "mingw",
  },
  "darwin-arm64": { command: zig, toolchain: "aarch64-macos.cmake", trial: true },
  "darwin-x64": { command: zig, toolchain: "x86_64-macos.cmake", trial: true },
};
const commandWorks = (command) =>
  outputOf(command, [command.endsWith("zig") ? "version" : "--version"]) !== undefined;

/** Why a target's package cannot be built here, or undefined where it can. */
export function missingFor(target) {
  if (target === host) return undefined;
  if (!cross[target] || cross[target].trial) return `it is built on ${target} itself`;
  return missingCompiler(target);
}

/** Why a target cannot be compiled for here, or undefined where it can. */
export function missingCompiler(target) {
  const { command } = cross[target];
  return commandWorks(command) ? undefined : `${command} is not installed`;
}

export const buildFolder = (target) =>
  target === host ? join(native, "build") : join(native, `build-${target}`);

/** Compiles what is out of date; resolves to the path of the addon. */
export async function buildAddon(target) {
  const folder = buildFolder(target);
  const addon = join(folder, "Release", "keyheads.node");
  if (target === host) {
    if (!existsSync(addon)) throw new StepError(`${addon} is missing`, "run `npm run setup`");
    return addon;
  }
  const toolchain = join(native, "cmake", cross[target].toolchain);
  const headers = ["node-api-headers/include", "node-addon-api"].map((path) =>
    join(native, "node_modules", path),
  );
  await runLogged(`release-${target}`, "cmake", [
    ...["-S", native, "-B", folder],
    ...(firstCommand(["ninja"]) ? ["-G", "Ninja"] : []),
    `-DCMAKE_TOOLCHAIN_FILE=${toolchain}`,
    `-DCMAKE_JS_INC=${headers.join(";")}`,
    `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${join(folder, "Release")}`,
    "-DKEYHEADS_LIBXSMM=OFF",
  ]);
  await runLogged(`release-${target}`, "cmake", [
    ...["--build", folder, "--parallel", String(availableParallelism())],
  ]);
  return addon;
}

/** Makes a target's package in `folder` from its addon. */
export async function addonPackage(target, addon, folder, version) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const stripped = join(folder, "keyheads.node");
  const { strip = "strip", runtime = process.platform === "darwin" ? "system" : "gcc" } =
    cross[target] ?? {};
  const { os } = targets[target];
  await runLogged("strip", strip, [...(os === "darwin" ? ["-x"] : []), "-o", stripped, addon]);
  // macOS runs no code without a signature, and strip leaves one that no longer fits.
  if (os === "darwin")
    await runLogged("codesign", "codesign", ["--force", "--sign", "-", stripped]);
  checkAddon(stripped, os);
  writeAddonNotices(join(folder, "THIRD-PARTY-NOTICES.md"), {
    runtime,
    ...(target !== host && { libxsmm: false }),
  });
  writeJson(join(folder, "package.json"), addonManifest(target, version));
  return folder;
}

export { host, targetNames };
