// libxsmm (BSD-3) speeds up matrix products. It is unpacked into .third_party, never installed; where
// Debian's package cannot be had, the engine's own kernels do the work.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { outputOf, root, runLogged } from "./process.mjs";

const folder = join(root, ".third_party", "libxsmm");
const timeoutMs = 30_000;

export const haveLibxsmm = () => existsSync(join(folder, "usr", "include", "libxsmm.h"));

/** Returns undefined when libxsmm is in place afterwards, else the reason why it is not. */
export async function fetchLibxsmm() {
  if (haveLibxsmm()) return undefined;
  if (process.arch !== "x64") return `there is no package for ${process.arch}`;
  for (const tool of ["apt-get", "dpkg-deb"]) {
    if (outputOf(tool, ["--version"]) === undefined) return `${tool} was not found`;
  }
  const scratch = `${folder}.part`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(join(scratch, "lists", "partial"), { recursive: true });
  const deadline = Date.now() + timeoutMs;
  const attempt = (command, args) =>
    runLogged("libxsmm", command, args, {
      cwd: scratch,
      quiet: true,
      timeout: Math.max(1, deadline - Date.now()),
    });
  const download = (...args) => attempt("apt-get", [...args, "-qq", "download", "libxsmm-dev"]);
  // A machine whose package lists were deleted (most containers) gets private ones.
  const privately = ["-o", `Dir::State::lists=${join(scratch, "lists")}`];
  try {
    await download().catch(async () => {
      await attempt("apt-get", [...privately, "-qq", "update"]);
      await download(...privately);
    });
    const archive = readdirSync(scratch).find((name) => name.endsWith(".deb"));
    if (!archive) return "apt-get downloaded nothing (see .cache/logs/libxsmm.log)";
    const unpacked = join(scratch, "unpacked");
    await attempt("dpkg-deb", ["-x", archive, unpacked]);
    rmSync(folder, { recursive: true, force: true });
    renameSync(unpacked, folder);
    return haveLibxsmm() ? undefined : "the package holds no libxsmm.h";
  } catch (error) {
    const late = Date.now() >= deadline;
    return late ? `it took longer than ${timeoutMs / 1000} s` : error.message;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
