// What users see when something is missing or does not fit (docs/installing.md). Each is provoked in
// an installed project; the check throws unless the command ends as documented.
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StepError } from "../lib/process.mjs";
import { host } from "./addons.mjs";
import { addonManifest, readJson, targetNames, writeJson } from "./manifests.mjs";
import { managers } from "./project.mjs";

const environment = 3;
const addonFolder = (project, target = host) =>
  join(project.folder, "node_modules", "@keyheads", target);

async function installed(open, name, version) {
  const project = open(name, { keyheads: version });
  await project.must(managers.npm.install);
  return project;
}

/** Runs keyheads and expects its exit code and text. */
async function expectFailure(
  project,
  patterns,
  { args = ["doctor"], env, code = environment } = {},
) {
  const program = join(project.folder, "node_modules", "keyheads", "bin", "keyheads.mjs");
  const result = await project.run(["node", program, ...args], { env });
  const text = result.output + result.errors;
  const missing = patterns.filter((pattern) => !pattern.test(text));
  if (result.code === code && missing.length === 0) return;
  throw new StepError(`exit code ${result.code}, no ${missing.join(", ")} in:\n${text}`);
}

async function missingPackage(open, { version }) {
  const project = open("missing", { keyheads: version });
  await project.must([...managers.npm.install, "--omit=optional"]);
  await expectFailure(project, [
    /installed: no package with an addon/,
    new RegExp(`expected: @keyheads/${host} ${version}`),
    new RegExp(`npm install --include=optional @keyheads/${host}@${version}`),
  ]);
}

/** node_modules that were installed on a system with the other C library. */
async function wrongLibc(open, { version }) {
  const project = await installed(open, "wrong-libc", version);
  const other = targetNames.find((name) => name.startsWith("linux-x64") && name !== host);
  cpSync(addonFolder(project), addonFolder(project, other), { recursive: true });
  writeJson(join(addonFolder(project, other), "package.json"), addonManifest(other, version));
  needsAnotherLibrary(join(addonFolder(project, other), "keyheads.node"));
  rmSync(addonFolder(project), { recursive: true });
  await expectFailure(project, [
    new RegExp(`installed: @keyheads/${other}`),
    /installed on another system/,
    /rm -rf node_modules/,
  ]);
}

/** As an addon of another C library: what it needs is not on this machine. */
function needsAnotherLibrary(file) {
  const bytes = readFileSync(file);
  bytes.write("libz.so.6", bytes.indexOf("libc.so.6"));
  writeFileSync(file, bytes);
}

async function damagedFile(open, { version }) {
  const project = await installed(open, "damaged", version);
  writeFileSync(join(addonFolder(project), "keyheads.node"), "no addon");
  await expectFailure(project, [/damaged/, new RegExp(`npm install keyheads@${version}`)]);
}

async function differentVersion(open, { version }) {
  const project = await installed(open, "version", version);
  const manifest = join(addonFolder(project), "package.json");
  writeJson(manifest, { ...readJson(manifest), version: "0.0.1" });
  await expectFailure(project, [/is version 0\.0\.1/, /both must be the same/]);
}

/** The hash of the hook table in the addon's file is changed: an addon of an older build. */
async function staleBinary(open, { version }) {
  const project = await installed(open, "stale", version);
  const file = join(addonFolder(project), "keyheads.node");
  const probe = `process.stdout.write(require(${JSON.stringify(file)}).schemaHash)`;
  const { output: hash } = await project.must(["node", "-e", probe]);
  const bytes = readFileSync(file);
  for (let at = bytes.indexOf(hash); at >= 0; at = bytes.indexOf(hash, at + 1)) {
    bytes.write("0".repeat(hash.length), at);
  }
  writeFileSync(file, bytes);
  await expectFailure(project, [/another hook table \(0+, expected/, /npm install keyheads@/]);
}

/** What does not depend on what is installed, in one project. */
async function others(open, { version }) {
  const project = await installed(open, "others", version);
  const pretend = join(project.folder, "old.cjs");
  writeFileSync(pretend, `Object.defineProperty(process.versions, "node", { value: "18.20.1" });`);
  await expectFailure(project, [/needs Node 20\.19 or newer/], {
    env: { NODE_OPTIONS: `--require ${pretend}` },
  });
  await expectFailure(project, [/without AVX2 and FMA/, /kernels for x86-64-v2/], {
    env: { KEYHEADS_ISA: "v2" },
    code: 0,
  });
  await expectFailure(project, [/KEYHEADS_ISA=v9 is not one of/], { env: { KEYHEADS_ISA: "v9" } });
  await expectFailure(project, [/no NVIDIA driver|@keyheads\/cuda-linux-x64/, /use "cpu"/], {
    args: ["generate", "stories260K", "--prompt", "a", "--device", "cuda"],
  });
  await expectFailure(project, [/npm install @keyheads\/models@/], {
    args: ["inspect", "stories260K"],
    code: 2,
  });
  await expectFailure(project, [/KEYHEADS_NATIVE \/no\/file could not be loaded/], {
    env: { KEYHEADS_NATIVE: "/no/file" },
  });
}

/** The CUDA package on a machine without a GPU, or without a driver for one. */
async function cudaWithoutGpu(open, { releases, version }) {
  const name = "@keyheads/cuda-linux-x64";
  if (!releases.some(({ manifest, tarball }) => manifest.name === name && tarball)) {
    return "not packed here: nvcc was not there";
  }
  const project = open("cuda", { keyheads: version, [name]: version });
  await project.must(managers.npm.install);
  const library = /package .*cuda-linux-x64.*keyheads_cuda\.so/;
  await expectFailure(project, [library, /CUDA: .*(no NVIDIA driver|NVIDIA driver)/], { code: 0 });
  await expectFailure(project, [/no CUDA device: .*; use "cpu"/], {
    args: ["generate", "mathgpt_add3_h4_l4", "--prompt", "1+1=", "--device", "cuda"],
  });
  return undefined;
}

export const failures = {
  "missing package": missingPackage,
  "wrong libc": wrongLibc,
  "damaged file": damagedFile,
  "different version": differentVersion,
  "stale binary": staleBinary,
  "CUDA package without a GPU": cudaWithoutGpu,
  "old Node, old CPU, no GPU, no model, wrong path": others,
};
