// Builds the packages of a release into .cache/release/VERSION and packs them.
//   node scripts/release/build.mjs [--targets linux-x64-gnu,linux-arm64-gnu] [--version V]
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import {
  cacheFolder,
  main,
  outputOf,
  root,
  runLogged,
  StepError,
  secondsSince,
} from "../lib/process.mjs";
import { addonPackage, buildAddon, missingFor, targetNames } from "./addons.mjs";
import { bundle, modelsPackage } from "./bundle.mjs";
import { cudaPackage, cudaTarget, missingCuda } from "./cuda.mjs";
import { addonManifest, cudaManifest, readJson } from "./manifests.mjs";

/** Unpacked bytes that a package may have, by the start of its name. */
const limits = {
  keyheads: 8e6,
  "@keyheads/models": 40e6,
  "@keyheads/cuda": 40e6,
  "@keyheads/": 6e6,
};

/** What `--targets` may name. */
export const releaseTargets = [...targetNames, cudaTarget];

export const releaseVersion = () => readJson(join(root, "packages/keyheads/package.json")).version;

/**
 * Builds and packs what this machine can.
 * @returns [{ manifest, tarball?, folder?, unpacked?, packed? }], one for every package of a release;
 *   those for other systems have no tarball
 */
export async function buildRelease({
  version = releaseVersion(),
  targets = releaseTargets,
  out = join(cacheFolder, "release", version),
} = {}) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const releases = [];
  for (const target of releaseTargets) {
    const isCuda = target === cudaTarget;
    const manifest = isCuda ? cudaManifest(version) : addonManifest(target, version);
    const missing = isCuda ? missingCuda : missingFor;
    const why = targets.includes(target) ? missing(target) : "not asked for";
    if (why) {
      process.stdout.write(`skipped ${manifest.name}: ${why}\n`);
      releases.push({ manifest });
      continue;
    }
    const start = performance.now();
    const folder = isCuda
      ? await cudaPackage(join(out, target), version)
      : await addonPackage(target, await buildAddon(target), join(out, target), version);
    releases.push(await pack(folder, out, start));
  }
  const start = performance.now();
  releases.push(await pack(modelsPackage(join(out, "models"), version), out, start));
  releases.push(await pack(await bundle(join(out, "keyheads"), version), out, start));
  return releases;
}

/** Packs a folder as npm does, and checks its size. */
async function pack(folder, out, start) {
  const manifest = readJson(join(folder, "package.json"));
  await runLogged("pack", "npm", [
    ...["pack", folder, "--pack-destination", out, "--ignore-scripts", "--silent"],
  ]);
  const name = `${manifest.name.replace("@", "").replace("/", "-")}-${manifest.version}.tgz`;
  const tarball = join(out, name);
  const [unpacked, packed] = [bytesIn(folder), statSync(tarball).size];
  const limit = Object.entries(limits).find(([start]) => manifest.name.startsWith(start))[1];
  process.stdout.write(
    `built   ${manifest.name} ${manifest.version}: ${mega(unpacked)} unpacked, ${mega(packed)} packed (${secondsSince(start)})\n`,
  );
  if (unpacked > limit) {
    throw new StepError(`${manifest.name} has ${mega(unpacked)}, and may have ${mega(limit)}`);
  }
  return { manifest, tarball, folder, unpacked, packed };
}

const mega = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

const bytesIn = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

/** The targets that `--targets` names, or all. */
export function targetsOf(text) {
  const names = text?.split(",") ?? releaseTargets;
  const unknown = names.filter((name) => !releaseTargets.includes(name));
  if (unknown.length === 0) return names;
  throw new StepError(
    `--targets ${unknown.join(",")}: expected some of ${releaseTargets.join(", ")}`,
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: { targets: { type: "string" }, version: { type: "string" } },
  });
  await main(async () => {
    if (outputOf("npm", ["--version"]) === undefined) throw new StepError("npm was not found");
    await buildRelease({ ...values, targets: targetsOf(values.targets) });
    return 0;
  });
}
