// Whether others can use the packed package: publint, arethetypeswrong, and a look at the manifest.
import { join } from "node:path";
import { root, runLogged, StepError } from "../lib/process.mjs";

const bin = (name) => join(root, "node_modules", ".bin", name);

export async function checkPackage({ manifest, tarball, folder }) {
  for (const field of ["scripts", "dependencies", "devDependencies"]) {
    if (manifest[field])
      throw new StepError(`package.json has ${field}: nothing may run or follow`);
  }
  for (const [name, range] of Object.entries(manifest.optionalDependencies)) {
    if (range !== manifest.version) throw new StepError(`${name} is not pinned: ${range}`);
  }
  await runLogged("publint", bin("publint"), ["run", folder, "--strict", "--pack", "false"]);
  await runLogged("attw", bin("attw"), [tarball, "--profile", "esm-only"]);
  return "publint and attw find nothing";
}
