// Makes the npm package `keyheads` out of the built workspace: one bundle of the library, the
// command line, the loader and the report with all libraries they use, and their types.
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { defaultModels } from "../../packages/models/dist/index.js";
import { root } from "../lib/process.mjs";
import { keyheadsManifest, readJson, shared, writeJson } from "./manifests.mjs";
import { writeNotices } from "./notices.mjs";
import { copyTypes } from "./types.mjs";

/** What `exports` offers: the subpath, and the module that it is. */
export const entryPoints = {
  index: "packages/keyheads",
  native: "native",
  models: "packages/models",
  report: "packages/report",
};
const fileOf = { index: "index", native: "load", models: "index", report: "index" };

/** CommonJS libraries inside the bundle ask for Node's own modules. */
const banner = `import { createRequire as createRequireOfBundle } from "node:module";
const require = createRequireOfBundle(import.meta.url);`;

/** The bundle has the version of the release, which may not be the checkout's. */
const versionIs = (version) => ({
  name: "version",
  setup: ({ onLoad }) =>
    onLoad({ filter: /generated\/version\.js$/ }, () => ({
      contents: `export const version = ${JSON.stringify(version)};`,
    })),
});

/** The command line, which loads a command from beside itself when it is run. */
function program() {
  const cli = join(root, "packages/keyheads/dist/cli");
  const commands = readdirSync(join(cli, "commands")).filter((name) => /^[\w-]+\.js$/.test(name));
  return [
    { out: "cli/main", in: join(cli, "main.js") },
    ...commands
      .filter((name) => name !== "index.js")
      .map((name) => ({
        out: `cli/${name.replace(".js", "")}`,
        in: join(cli, "commands", name),
      })),
  ];
}

/** @returns the folder, ready to be packed */
export async function bundle(folder, version) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const modules = Object.entries(entryPoints).map(([name, from]) => ({
    out: name,
    in: join(root, from, "dist", `${fileOf[name]}.js`),
  }));
  const result = await build({
    absWorkingDir: root,
    entryPoints: [...modules, ...program()],
    outdir: join(folder, "dist"),
    // All chunks lie in dist/ itself: what looks for ../models finds it.
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    minify: true,
    legalComments: "none", // THIRD-PARTY-NOTICES.md has them in full
    alias: Object.fromEntries(
      ["native", "models", "report"].map((name) => [
        `@keyheads/${name}`,
        join(root, entryPoints[name], "dist", `${fileOf[name]}.js`),
      ]),
    ),
    plugins: [versionIs(version)],
    banner: { js: banner },
    metafile: true,
    logLevel: "warning",
  });
  copyTypes(folder);
  cpSync(join(root, "packages/keyheads/bin"), join(folder, "bin"), { recursive: true });
  cpSync(join(root, "packages/models/texts"), join(folder, "texts"), { recursive: true });
  for (const name of defaultModels) {
    cpSync(join(root, "packages/models/models", name), join(folder, "models", name), {
      recursive: true,
    });
  }
  for (const file of ["LICENSE", "README.md", "CHANGELOG.md"]) {
    cpSync(join(root, file), join(folder, file));
  }
  writeNotices(join(folder, "THIRD-PARTY-NOTICES.md"), Object.keys(result.metafile.inputs));
  const source = readJson(join(root, "packages/keyheads/package.json"));
  writeJson(join(folder, "package.json"), keyheadsManifest(source, version));
  return folder;
}

/** The models that are not in `keyheads` itself. */
export function modelsPackage(folder, version) {
  rmSync(folder, { recursive: true, force: true });
  cpSync(join(root, "packages/models/models"), join(folder, "models"), {
    recursive: true,
    filter: (path) => !defaultModels.some((name) => path.endsWith(join("models", name))),
  });
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const { name, description, license, engines } = readJson(
    join(root, "packages/models/package.json"),
  );
  writeJson(join(folder, "package.json"), {
    ...{ name, version, description, ...shared, license, engines },
    files: ["models"],
    exports: { "./package.json": "./package.json" },
  });
  writeFileSync(
    join(folder, "README.md"),
    `# ${name}\n\nModels for keyheads that are too large for the package itself. Once it is installed beside\n\`keyheads\`, their names can be used wherever a model is expected. Each has its licence in its folder.\n`,
  );
  return folder;
}
