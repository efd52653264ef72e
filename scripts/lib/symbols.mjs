// What an addon shows to the outside: it may export only what Node looks up by name (any other symbol
// could collide with another addon's of the same process), and may need only what old systems have.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { olderThan, oldestGlibc } from "../../native/dist/targets.js";
import { outputOf, root, StepError } from "./process.mjs";

const built = join(root, "native", "build", "Release", "keyheads.node");
const allowed = /^(napi_register_module_v1|node_api_module_get_api_version_v1|_init|_fini)$/;
const shown = 5;

/** Throws with the symbols that must not be there. */
export function checkExports(addon = built) {
  if (!existsSync(addon)) throw new StepError(`${addon} is missing`, "run `npm run setup`");
  const exported = (outputOf("nm", ["-D", "--defined-only", "-C", addon]) ?? "")
    .split("\n")
    .map((line) => line.replace(/^[0-9a-f]* +\w /, ""))
    .filter((name) => name !== "" && !allowed.test(name.split("@")[0]));
  if (exported.length === 0) return;
  const names = exported.slice(0, shown).map((name) => `\n    ${name.slice(0, 90)}`);
  const more = exported.length > shown ? "\n    ..." : "";
  throw new StepError(
    `keyheads.node exports ${exported.length} symbols that it should hide:${names.join("")}${more}`,
    "the link needs a version script: templates of std ignore -fvisibility=hidden",
  );
}

/** Libraries that every Linux with Node has; the C++ library is part of the addon. */
const systemLibraries =
  /^(lib(c|m|dl|rt|pthread)\.so(\.\d+)?|ld-linux-[\w-]+\.so\.\d|libc\.musl-\w+\.so\.1)$/;

/** Throws where the addon needs a library, or a glibc, that a supported system may not have. */
export function checkFloor(addon = built) {
  const dynamic = outputOf("readelf", ["--dynamic", "--wide", addon]);
  const symbols = outputOf("readelf", ["--version-info", "--wide", addon]);
  if (dynamic === undefined || symbols === undefined) {
    throw new StepError(`${addon} cannot be read`, "install binutils and run `npm run setup`");
  }
  const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name);
  const foreign = needed.filter((name) => !systemLibraries.test(name));
  if (foreign.length > 0) {
    throw new StepError(`${addon} needs ${foreign.join(", ")}`, "link it statically");
  }
  const versions = [...symbols.matchAll(/Name: GLIBC_([\d.]+)/g)].map(([, version]) => version);
  const newer = new Set(versions.filter((version) => olderThan(oldestGlibc, version)));
  if (newer.size > 0) {
    throw new StepError(
      `${addon} needs glibc ${[...newer].join(", ")}, newer than ${oldestGlibc}`,
      "give what is new an old name in native/src/addon/glibc_floor.cc; `objdump -T` shows it",
    );
  }
}
