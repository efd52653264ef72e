// The packages with prebuilt addons that this machine can build.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { targetsFor, thisSystem } from "../../native/dist/system.js";
import { firstCommand, outputOf, root, runLogged, StepError } from "../lib/process.mjs";
import { checkExports, checkFloor } from "../lib/symbols.mjs";
import { addonManifest, targetNames, writeJson } from "./manifests.mjs";
import { writeAddonNotices } from "./notices.mjs";

const native = join(root, "native");
const [host] = targetsFor(thisSystem());

/** Cross-compilers, by target: what must be installed, CMake's toolchain, binutils, C++ library. */
const cross = {
  "linux-arm64-gnu": {
    command: "aarch64-linux-gnu-g++",
    toolchain: "aarch64-linux-gnu.cmake",
    strip: "aarch64-linux-gnu-strip",
    runtime: "gcc",
  },
  "linux-x64-musl": {
    command: process.env.ZIG || "zig",
    toolchain: "x86_64-linux-musl.cmake",
    strip: "strip",
    runtime: "llvm",
  },
};
const commandWorks = (command) =>
  outputOf(command, [command.endsWith("zig") ? "version" : "--version"]) !== undefined;

/** Why a target cannot be built here, or undefined where it can. */
export function missingFor(target) {
  if (target === host) return undefined;
  const tool = cross[target]?.command;
  if (!tool) return `it is built on ${target} itself`;
  return commandWorks(tool) ? undefined : `${tool} is not installed`;
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
  const options = process.platform === "darwin" ? ["-x"] : [];
  await runLogged("strip", strip, [...options, "-o", stripped, addon]);
  if (target.startsWith("linux")) {
    checkExports(stripped);
    checkFloor(stripped);
  }
  writeAddonNotices(join(folder, "THIRD-PARTY-NOTICES.md"), {
    runtime,
    ...(target !== host && { libxsmm: false }),
  });
  writeJson(join(folder, "package.json"), addonManifest(target, version));
  return folder;
}

export { host, targetNames };
