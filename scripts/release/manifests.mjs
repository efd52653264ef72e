// The package.json of every package that is published.
import { readFileSync, writeFileSync } from "node:fs";
import { oldestGlibc, oldestGlibcForCuda, oldestNode, targets } from "../../native/dist/targets.js";

export const targetNames = Object.keys(targets);
export const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
export const writeJson = (path, value) =>
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);

/** In the release workflow; npm compares it with the provenance and refuses another. */
const repository = process.env.GITHUB_REPOSITORY;

/** In every manifest. */
export const shared = {
  ...(repository && {
    repository: { type: "git", url: `git+https://github.com/${repository}.git` },
  }),
  license: "MIT",
  engines: { node: `>=${oldestNode}` },
  // Native code and mapped files need real paths, also where a package manager keeps archives.
  preferUnplugged: true,
};

/** A subpath of ESM with its types, types first. */
const entry = (name) => ({ types: `./types/${name}.d.ts`, default: `./dist/${name}.js` });

/** From the manifest of the workspace: no dependencies but the addons, pinned. */
export function keyheadsManifest({ name, description, type }, version) {
  return {
    ...{ name, version, description, type },
    ...shared,
    keywords: [
      "interpretability",
      "attention heads",
      "path patching",
      "fine-tuning",
      "transformers",
    ],
    bin: { keyheads: "bin/keyheads.mjs" },
    files: ["bin", "dist", "types", "models", "texts", "CHANGELOG.md", "THIRD-PARTY-NOTICES.md"],
    sideEffects: false,
    exports: {
      ".": entry("index"),
      "./native": entry("native"),
      "./models": entry("models"),
      "./report": entry("report"),
      "./package.json": "./package.json",
    },
    optionalDependencies: Object.fromEntries(
      targetNames.map((target) => [`@keyheads/${target}`, version]),
    ),
  };
}

/** Of the package with one prebuilt addon. */
export function addonManifest(target, version) {
  const { os, cpu, libc } = targets[target];
  const where = `${os} ${cpu}${libc ? ` (${libc})` : ""}`;
  return {
    name: `@keyheads/${target}`,
    version,
    description: `The engine of keyheads for ${where}; installed by keyheads, not by hand.`,
    ...shared,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
    ...(libc === "glibc" && { config: { glibc: oldestGlibc } }),
    files: ["keyheads.node", "THIRD-PARTY-NOTICES.md"],
    main: "keyheads.node",
    exports: { ".": "./keyheads.node", "./package": "./package.json" },
  };
}

/** Of the package with the CUDA library. */
export function cudaManifest(version) {
  return {
    name: "@keyheads/cuda-linux-x64",
    version,
    description: "NVIDIA GPUs for keyheads: npm install keyheads @keyheads/cuda-linux-x64",
    ...shared,
    os: ["linux"],
    cpu: ["x64"],
    libc: ["glibc"],
    config: { glibc: oldestGlibcForCuda },
    files: ["keyheads_cuda.so", "THIRD-PARTY-NOTICES.md"],
    main: "keyheads_cuda.so",
    exports: { ".": "./keyheads_cuda.so", "./package": "./package.json" },
  };
}
