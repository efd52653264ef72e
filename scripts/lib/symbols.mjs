// The addon may export only what Node looks up by name: any other symbol could collide with another
// addon's of the same process.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { outputOf, root, StepError } from "./process.mjs";

const addon = join(root, "native", "build", "Release", "keyheads.node");
const allowed = /^(napi_register_module_v1|node_api_module_get_api_version_v1|_init|_fini)$/;
const shown = 5;

/** Throws with the symbols that must not be there. */
export function checkExports() {
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
