// Publishes the tarballs of a release: `node scripts/release/publish.mjs FOLDER [--dry-run]`. All must
// be there before the first goes out; addons and models first, so that `keyheads` never names what
// is not there. Those that are published already are left, so that a run that broke off can be repeated.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { main, outputOf, runShown, StepError } from "../lib/process.mjs";
import { releaseTargets, releaseVersion } from "./build.mjs";

/** In the order of publishing. */
export const releaseNames = [
  ...releaseTargets.map((target) => `@keyheads/${target}`),
  "@keyheads/models",
  "keyheads",
];

/**
 * @param packages [{ name, version, tarball }]
 * @returns the same in the order of publishing; throws where one is missing, twice or of another version
 */
export function publishOrder(packages, version, names = releaseNames) {
  const problems = [];
  for (const name of names) {
    const count = packages.filter((one) => one.name === name).length;
    if (count !== 1) problems.push(`${name}: ${count} tarballs, expected one`);
  }
  for (const { name, version: found, tarball } of packages) {
    if (!names.includes(name)) problems.push(`${tarball}: ${name} is no package of a release`);
    if (found !== version) problems.push(`${tarball} has version ${found}, expected ${version}`);
  }
  if (problems.length > 0) throw new StepError(`nothing was published\n  ${problems.join("\n  ")}`);
  return names.map((name) => packages.find((one) => one.name === name));
}

/** The name and version inside a tarball. */
function packageOf(tarball) {
  const text = outputOf("tar", ["-xOzf", tarball, "package/package.json"]);
  if (text === undefined) throw new StepError(`${tarball} is no package`);
  const { name, version } = JSON.parse(text);
  return { name, version, tarball };
}

const published = ({ name, version }) =>
  outputOf("npm", ["view", `${name}@${version}`, "version"]) === version;

async function publish(one, flags) {
  const { name, version, tarball } = one;
  if (published(one)) return void process.stdout.write(`there     ${name} ${version}\n`);
  const code = await runShown("npm", ["publish", tarball, "--access", "public", ...flags], {
    env: process.env,
  });
  if (code !== 0) throw new StepError(`${name} ${version} was not published`, "run this again");
  process.stdout.write(`published ${name} ${version}\n`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({
    options: { "dry-run": { type: "boolean", default: false } },
    allowPositionals: true,
  });
  await main(async () => {
    const [folder] = positionals;
    if (!folder) throw new StepError("expected the folder with the tarballs");
    const tarballs = readdirSync(folder, { recursive: true }).filter((path) => /\.tgz$/.test(path));
    const packages = tarballs.map((path) => packageOf(join(folder, path)));
    const flags = values["dry-run"] ? ["--dry-run"] : ["--provenance"];
    for (const one of publishOrder(packages, releaseVersion())) await publish(one, flags);
    return 0;
  });
}
