// The addon may export only what Node looks up by name, and no object compiled for one instruction set
// may define a symbol that the linker could merge with another object's (the wrong one would then run on
// an older CPU).
import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { outputOf, root, StepError } from "./process.mjs";

const build = join(root, "native", "build");
const allowed = /^(napi_register_module_v1|node_api_module_get_api_version_v1|_init|_fini)$/;

/** Throws with the symbols that must not be there; returns a reason where nothing can be checked. */
export function checkSymbols() {
  if (outputOf("nm", ["--version"]) === undefined) return "nm is not installed";
  const addon = join(build, "Release", "keyheads.node");
  if (!existsSync(addon)) throw new StepError(`${addon} is missing`, "run `npm run setup`");
  const exported = symbols(addon, "-D").filter(({ name }) => !allowed.test(name.split("@")[0]));
  if (exported.length > 0) {
    throw new StepError(
      `keyheads.node exports ${exported.length} symbols that it should hide: ${list(exported)}`,
      "the link needs a version script: templates of std ignore -fvisibility=hidden",
    );
  }
  const objects = kernelObjects();
  if (objects.length === 0) throw new StepError(`no kernel objects in ${relative(root, build)}`);
  for (const object of objects) {
    const shared = symbols(object).filter(({ type }) => /[WVu]/.test(type));
    if (shared.length > 0) {
      throw new StepError(
        `${relative(root, object)} defines symbols that the linker may merge: ${list(shared)}`,
        "kernel files include leaf headers only and keep everything in an anonymous namespace",
      );
    }
  }
  return undefined;
}

/** Objects that are compiled once per instruction set (native/CMakeLists.txt: ops_v2, v3, v4). */
function kernelObjects() {
  return readdirSync(build, { recursive: true })
    .filter((name) => /ops_v\d\.dir.*\.o$/.test(name))
    .map((name) => join(build, name));
}

function symbols(path, ...flags) {
  return (outputOf("nm", [...flags, "--defined-only", "-C", path]) ?? "")
    .split("\n")
    .map((line) => /^[0-9a-f]+ (\w) (.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, type, name]) => ({ type, name }));
}

function list(found) {
  const names = found.slice(0, 5).map(({ name }) => `\n    ${name.slice(0, 90)}`);
  return names.join("") + (found.length > 5 ? "\n    ..." : "");
}
