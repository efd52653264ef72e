// The package with the CUDA library, which users add by hand.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root, runLogged, StepError } from "../lib/process.mjs";
import { checkCudaLibrary } from "../lib/symbols.mjs";
import { cudaManifest, writeJson } from "./manifests.mjs";
import { writeCudaNotices } from "./notices.mjs";

/** As a target of a release. */
export const cudaTarget = "cuda-linux-x64";

const built = join(root, "native", "build", "Release", "keyheads_cuda.so");

/** Why it cannot be packed here, or undefined where it can. */
export const missingCuda = () =>
  existsSync(built) ? undefined : "nvcc was not there when the addon was built";

/** Makes the package in `folder`. */
export async function cudaPackage(folder, version) {
  const why = missingCuda();
  if (why) throw new StepError(why, "install nvcc and run `npm run setup`");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const stripped = join(folder, "keyheads_cuda.so");
  await runLogged("strip", "strip", ["-o", stripped, built]);
  checkCudaLibrary(stripped);
  writeCudaNotices(join(folder, "THIRD-PARTY-NOTICES.md"));
  writeJson(join(folder, "package.json"), cudaManifest(version));
  return folder;
}
