// What users do with an installed package. Each check throws, or says in a few words what it saw.
import { join } from "node:path";
import { defaultModels } from "../../packages/models/dist/index.js";
import { outputOf, root, StepError } from "../lib/process.mjs";
import { writeJson } from "./manifests.mjs";

const [model] = defaultModels;

function expect(what, ok) {
  if (!ok) throw new StepError(what);
}

/** The last line that a script printed, as JSON. */
async function json(project, command) {
  const { output } = await project.must(command);
  return JSON.parse(output.trim().split("\n").at(-1));
}

const runners = { npm: ["npx"], pnpm: ["pnpm", "exec"], yarn: ["yarn"] };
const program = (manager) => [...runners[manager], "keyheads"];

async function run(project, { manager }) {
  const keyheads = program(manager);
  await project.must([...keyheads, "items", model, "--count", "40", "--out", "items.jsonl"]);
  const { seconds } = await project.must([
    ...keyheads,
    ...["run", model, "--items", "items.jsonl", "--skip-tuning", "--out", "run"],
  ]);
  const size = outputOf("wc", ["-c", join(project.folder, "run", "report.html")]);
  expect(`the report is small: ${size}`, Number.parseInt(size, 10) > 20_000);
  return `${seconds.toFixed(1)} s`;
}

/** @param node how another runtime than this one is started */
async function doctor(project, { manager, node, version }) {
  const keyheads = manager
    ? program(manager)
    : [...node, join("node_modules", "keyheads", "bin", "keyheads.mjs")];
  const { output } = await project.must([...keyheads, "doctor", "--json"]);
  const { ok, checks, version: said } = JSON.parse(output);
  const value = (name) => checks.find((check) => check.name === name)?.value ?? "";
  expect(`doctor: ${output}`, ok && said === version);
  expect(`self-test: ${value("self-test")}`, value("self-test").endsWith("agree"));
  expect(`addon: ${value("addon")}`, value("addon").startsWith("package @keyheads/"));
  return `Node ${value("Node").split(",")[0]}, ${value("addon")}`;
}

async function esm(project, { node }) {
  const { finite, captures, from } = await json(project, [...node, "esm.mjs"]);
  expect("no finite numbers", finite && captures === 1 && from.kind === "package");
}

async function commonJs(project, { node }) {
  const { finite, refused, from } = await json(project, [...node, "require.cjs"]);
  expect("no finite numbers, or a wrong error", finite && refused && from.kind === "package");
}

async function worker(project, { node }) {
  const { equal, numbers } = await json(project, [...node, "worker.mjs"]);
  expect("threads computed different numbers", equal && numbers > 0);
}

async function types(project, { resolution }) {
  const module = resolution === "bundler" ? "esnext" : "nodenext";
  writeJson(join(project.folder, "tsconfig.json"), {
    compilerOptions: {
      ...{ module, moduleResolution: resolution, target: "es2023", strict: true, noEmit: true },
      lib: ["es2023", "esnext.disposable"],
      types: ["node"],
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
    },
    files: ["consumer.ts"],
  });
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  await project.must(["node", tsc, "-p", "."]);
}

async function twoVersions(project, { node, version, next }) {
  const { versions, sources, separate, equal } = await json(project, [...node, "two-versions.mjs"]);
  expect(`versions ${versions}`, versions[0] === version && versions[1] === next);
  expect(`addons ${sources}`, sources[0].endsWith(version) && sources[1].endsWith(next));
  expect("the addons are one", separate);
  expect("the versions computed different numbers", equal);
  return sources.join(" and ");
}

export const uses = {
  "keyheads run on the bundled model": { check: run },
  "keyheads doctor": { check: doctor },
  "ES module": { check: esm },
  "CommonJS require": { check: commonJs },
  "worker threads": { check: worker },
  "TypeScript, NodeNext": {
    check: (project) => types(project, { resolution: "nodenext" }),
    types: true,
    only: ["npm"],
  },
  "TypeScript, Bundler": {
    check: (project) => types(project, { resolution: "bundler" }),
    types: true,
    only: ["npm"],
  },
  "two versions": { check: twoVersions, only: [] },
};
