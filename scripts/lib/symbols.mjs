// What an addon shows to the outside: it may export only what Node looks up by name (any other symbol
// could collide with another addon's of the same process), and may need only what old systems have.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { olderThan, oldestGlibc, oldestGlibcForCuda } from "../../native/dist/targets.js";
import { outputOf, root, StepError } from "./process.mjs";

const built = join(root, "native", "build", "Release", "keyheads.node");
const allowed = /^(napi_register_module_v1|node_api_module_get_api_version_v1|_init|_fini)$/;
const shown = 5;

/** How the file of each system is read. `needed` are libraries, which must match `libraries`. */
const formats = {
  linux: {
    exported: (addon) =>
      lines("nm", ["-D", "--defined-only", "-C", addon], /^[0-9a-f]* +\w (.+?)(?:@.*)?$/),
    needed: (addon) => lines("readelf", ["--dynamic", "--wide", addon], /\(NEEDED\).*\[(.+)\]/),
    libraries:
      /^(lib(c|m|dl|rt|pthread)\.so(\.\d+)?|ld-linux-[\w-]+\.so\.\d|libc\.musl-\w+\.so\.1)$/,
  },
  win32: {
    exported: (addon) => lines(objdump, ["-p", addon], /^\s*\[ *\d+\] ([A-Za-z_]\w*)$/),
    needed: (addon) => lines(objdump, ["-p", addon], /DLL Name: (\S+)/),
    libraries: /^(KERNEL32|msvcrt)\.dll$/i,
  },
  darwin: {
    exported: (addon) => lines(...appleNm("-gU", addon), /^[0-9a-f]* +\w _(.+)$/),
    needed: (addon) =>
      lines(...appleLibraries(addon), /^\s+(\S+) \(compat/).filter(
        (name) => !name.endsWith(".node"),
      ),
    libraries: /^\/usr\/lib\/lib(System\.B|c\+\+\.1)\.dylib$/,
  },
};
const objdump = "x86_64-w64-mingw32-objdump";
const onMac = process.platform === "darwin";
const appleNm = (...options) => [onMac ? "nm" : "llvm-nm", options];
const appleLibraries = (addon) =>
  onMac ? ["otool", ["-L", addon]] : ["llvm-objdump", ["--macho", "--dylibs-used", addon]];

/** What `pattern` captures in each line of a tool's output. */
function lines(command, args, pattern) {
  const output = outputOf(command, args, { maxBuffer: 1 << 28 });
  if (output === undefined) {
    throw new StepError(`${args.at(-1)} cannot be read`, `install ${command} and build it again`);
  }
  return output.split("\n").flatMap((line) => pattern.exec(line)?.[1] ?? []);
}

/** The same of a CUDA library. The runtime of CUDA in it keeps it from older systems. */
export function checkCudaLibrary(library) {
  const { exported } = formats.linux;
  const all = exported(library);
  const foreign = all.filter((name) => !/^keyheads_cuda_\w+$/.test(name));
  if (foreign.length > 0 || !all.includes("keyheads_cuda_api")) {
    throw new StepError(
      `${library} exports ${foreign.slice(0, shown).join(", ") || "no functions"}`,
    );
  }
  checkNeeds(library, "linux", oldestGlibcForCuda);
}

/** Throws with the symbols that an addon exports and must not, and with the libraries that it needs. */
export function checkAddon(addon = built, os = process.platform) {
  if (!existsSync(addon)) throw new StepError(`${addon} is missing`, "run `npm run setup`");
  checkExports(addon, formats[os]);
  checkNeeds(addon, os);
}

function checkExports(addon, { exported }) {
  const all = exported(addon);
  if (!all.includes("napi_register_module_v1")) {
    throw new StepError(`${addon} does not export what Node calls`);
  }
  const foreign = all.filter((name) => !allowed.test(name));
  if (foreign.length === 0) return;
  const names = foreign.slice(0, shown).map((name) => `\n    ${name.slice(0, 90)}`);
  const more = foreign.length > shown ? "\n    ..." : "";
  throw new StepError(
    `${addon} exports ${foreign.length} symbols that it should hide:${names.join("")}${more}`,
    "the link needs a version script: templates of std ignore -fvisibility=hidden",
  );
}

/** Throws where the addon needs a library, a symbol or a glibc that a supported system may not have. */
export function checkNeeds(addon, os, glibc = oldestGlibc) {
  const { needed, libraries } = formats[os];
  const foreign = needed(addon).filter((name) => !libraries.test(name));
  if (foreign.length > 0) {
    throw new StepError(`${addon} needs ${foreign.join(", ")}`, "link it statically");
  }
  if (os === "linux") checkGlibc(addon, glibc);
  if (os === "darwin") checkLateSymbols(addon);
}

function checkGlibc(addon, oldest) {
  const versions = lines("readelf", ["--version-info", "--wide", addon], /Name: GLIBC_([\d.]+)/);
  const newer = new Set(versions.filter((version) => olderThan(oldest, version)));
  if (newer.size > 0) {
    throw new StepError(
      `${addon} needs glibc ${[...newer].join(", ")}, newer than ${oldest}`,
      "give what is new an old name in native/src/addon/glibc_floor.cc; `objdump -T` shows it",
    );
  }
}

/** On macOS whatever the linker does not find is looked up when it is called: only Node's may be. */
function checkLateSymbols(addon) {
  const late = lines(...appleNm("-gum", addon), /external _(\S+)(?: \((?!from lib).*)?$/);
  const foreign = late.filter((name) => !/^(napi|node_api)_/.test(name));
  if (foreign.length > 0) {
    throw new StepError(`${addon} needs ${foreign.slice(0, shown).join(", ")}: who has them?`);
  }
  if (late.length === 0) throw new StepError(`${addon} calls nothing of Node`);
}
