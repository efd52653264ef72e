// What must be true before a release is tagged: `npm run release:check`.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { main, root, StepError } from "../lib/process.mjs";
import { readJson } from "./manifests.mjs";

const workflows = join(root, ".github", "workflows");

/** Problems of the version: every manifest has it, and the changelog a section for it. */
export function versionProblems(changelog, manifests) {
  const [{ version }] = manifests;
  const problems = manifests
    .filter((manifest) => manifest.version !== version)
    .map((manifest) => `${manifest.name} has version ${manifest.version}, expected ${version}`);
  if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) problems.push(`${version} is no version`);
  const heading = new RegExp(`^##+ ${version.replaceAll(".", "\\.")}( |$)`, "m");
  if (!heading.test(changelog)) problems.push(`CHANGELOG.md has no section "## ${version}"`);
  const unreleased = /^## Unreleased\n([\s\S]*?)(?=^##|$(?![\s\S]))/m.exec(changelog)?.[1] ?? "";
  if (unreleased.trim() !== "") {
    problems.push(`CHANGELOG.md lists changes under Unreleased: move them under "## ${version}"`);
  }
  return problems;
}

/** Actions that are named by a tag or branch, which others can move, and not by a commit. */
export function unpinnedActions(workflow) {
  return [...workflow.matchAll(/^\s*-?\s*uses:\s*(\S+)/gm)]
    .map(([, action]) => action)
    .filter((action) => !action.startsWith("./") && !/@[0-9a-f]{40}$/.test(action));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(() => {
    const folders = ["packages/keyheads", "native", "packages/models", "packages/report"];
    const manifests = folders.map((folder) => readJson(join(root, folder, "package.json")));
    const problems = versionProblems(readFileSync(join(root, "CHANGELOG.md"), "utf8"), manifests);
    for (const file of existsSync(workflows) ? readdirSync(workflows) : []) {
      for (const action of unpinnedActions(readFileSync(join(workflows, file), "utf8"))) {
        problems.push(`.github/workflows/${file}: ${action} is not pinned by a full commit hash`);
      }
    }
    if (problems.length > 0) throw new StepError(problems.join("\n  "));
    process.stdout.write("ready to be tagged\n");
    return 0;
  });
}
