// A release without publishing: builds the packages that this machine can, and uses them as a user
// does, in empty projects of npm, pnpm and yarn without scripts, compiler or network.
//   npm run release:dry -- [--targets linux-x64-gnu,linux-arm64-gnu] [--runtimes node-24] [--keep]
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cacheFolder, main, root, StepError, secondsSince } from "../lib/process.mjs";
import { host } from "./addons.mjs";
import { buildRelease, releaseVersion, targetsOf } from "./build.mjs";
import { failures } from "./failures.mjs";
import { checkPackage } from "./package-checks.mjs";
import { fetchManagers, managers, Project } from "./project.mjs";
import { startRegistry } from "./registry.mjs";
import { runtimeSteps, runtimesOf } from "./runtimes.mjs";
import { uses } from "./uses.mjs";

const { values } = parseArgs({
  options: {
    targets: { type: "string" },
    runtimes: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

let passed = 0;
const failed = [];

async function step(name, work) {
  const start = performance.now();
  try {
    const said = await work();
    passed += 1;
    process.stdout.write(`ok      ${name}${said ? `: ${said}` : ""} (${secondsSince(start)})\n`);
  } catch (error) {
    failed.push(name);
    process.stdout.write(`FAILED  ${name} (${secondsSince(start)})\n${error.message}\n`);
    if (!(error instanceof StepError)) process.stdout.write(`${error.stack}\n`);
  }
}

/** What a TypeScript project has besides: Node's types, packed from this checkout. */
async function nodeTypes(folder) {
  const types = join(root, "node_modules", "@types", "node");
  cpSync(types, join(folder, "node_modules", "@types", "node"), {
    recursive: true,
    dereference: true,
  });
  cpSync(
    join(root, "node_modules", ".pnpm", "node_modules", "undici-types"),
    join(folder, "node_modules", "undici-types"),
    { recursive: true, dereference: true },
  );
}

await main(async () => {
  const start = performance.now();
  const others = runtimesOf(values.runtimes);
  const version = releaseVersion();
  const next = `${version}-next.0`;
  const releases = await buildRelease({ version, targets: targetsOf(values.targets) });
  const main = releases.find(({ manifest }) => manifest.name === "keyheads");
  await step("package manifests and types", () => checkPackage(main));
  await fetchManagers();
  const later = await buildRelease({
    version: next,
    targets: [host],
    out: join(cacheFolder, "release-next"),
  });
  const registry = await startRegistry([...later, ...releases]);
  const base = mkdtempSync(join(tmpdir(), "keyheads-release-"));
  const open = (name, dependencies) =>
    new Project(join(base, name, "project"), { registry: registry.url, dependencies });

  for (const [manager, { install, node = ["node"] }] of Object.entries(managers)) {
    const project = open(manager, { keyheads: version });
    let installed = false;
    await step(`${manager} installs keyheads`, async () => {
      const { seconds } = await project.must(install);
      installed = true;
      return `${seconds.toFixed(1)} s`;
    });
    if (!installed) continue;
    for (const [name, use] of Object.entries(uses)) {
      if (use.only && !use.only.includes(manager)) continue;
      if (use.types) await nodeTypes(project.folder);
      await step(`${manager}: ${name}`, () => use.check(project, { manager, node, version, next }));
    }
  }
  const both = open("two-versions", { keyheads: version, "keyheads-next": `npm:keyheads@${next}` });
  await step("two versions side by side", async () => {
    await both.must(managers.npm.install);
    return await uses["two versions"].check(both, { node: ["node"], version, next });
  });
  for (const name of others) {
    const place = { folder: base, registry: registry.url, version };
    for await (const [what, work] of runtimeSteps(name, place)) await step(what, work);
  }
  for (const [name, check] of Object.entries(failures)) {
    await step(`failure: ${name}`, () => check(open, { releases, version }));
  }
  await step("nothing else was asked for", () => {
    if (registry.unknown.length === 0) return;
    throw new StepError(`the registry does not have ${[...new Set(registry.unknown)].join(", ")}`);
  });

  await registry.close();
  if (values.keep) process.stdout.write(`projects: ${base}\n`);
  else rmSync(base, { recursive: true, force: true });
  const list = failed.length > 0 ? ` (${failed.join(", ")})` : "";
  process.stdout.write(
    `\nrelease: ${passed} passed, ${failed.length} failed${list} in ${secondsSince(start)}\n`,
  );
  return failed.length === 0 ? 0 : 1;
});
