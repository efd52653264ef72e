// The types of the bundle: the declarations of every workspace package, in one folder each, with
// relative imports between them.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { root } from "../lib/process.mjs";

/** Folders of the package's types/, and where their declarations are. */
const sources = {
  keyheads: "packages/keyheads/dist",
  native: "native/dist",
  models: "packages/models/dist",
  report: "packages/report/dist",
};
const entries = {
  index: "keyheads/index",
  native: "native/load",
  models: "models/index",
  report: "report/index",
};
const packages = {
  "@keyheads/native": "native/load",
  "@keyheads/models": "models/index",
  "@keyheads/report": "report/index",
};

export function copyTypes(folder) {
  const types = join(folder, "types");
  const files = new Map();
  for (const [name, from] of Object.entries(sources)) {
    const all = readdirSync(join(root, from), { recursive: true });
    for (const file of all.filter((path) => path.endsWith(".d.ts"))) {
      files.set(join(name, file), readFileSync(join(root, from, file), "utf8"));
    }
  }
  for (const file of reachable(files)) {
    mkdirSync(dirname(join(types, file)), { recursive: true });
    writeFileSync(join(types, file), rewritten(file, files.get(file)));
  }
  for (const [name, file] of Object.entries(entries)) {
    writeFileSync(join(types, `${name}.d.ts`), `export * from "./${file}.js";\n`);
  }
}

const imports = /(?<=(?:from|import)\s*\(?\s*")[^"]+(?=")/g;

/** Files that an entry imports, directly or not. */
function reachable(files) {
  const seen = new Set(Object.values(entries).map((name) => `${name}.d.ts`));
  for (const file of seen) {
    const text = files.get(file);
    if (text === undefined) throw new Error(`${file} is imported by types, but does not exist`);
    for (const [specifier] of text.matchAll(imports)) {
      const target = targetOf(file, specifier);
      if (target) seen.add(target);
    }
  }
  return seen;
}

/** The declaration that an import of `file` means, or undefined for Node's own modules. */
function targetOf(file, specifier) {
  if (specifier.startsWith(".")) {
    return join(dirname(file), specifier).replace(/\.[jt]s$/, ".d.ts");
  }
  if (specifier in packages) return `${packages[specifier]}.d.ts`;
  if (specifier.startsWith("node:")) return undefined;
  throw new Error(`types/${file} needs the types of ${specifier}, which is bundled`);
}

function rewritten(file, text) {
  return text
    .replace(imports, (specifier) => {
      const target = targetOf(file, specifier);
      if (!target) return specifier;
      const path = relative(dirname(file), target).replace(/\.d\.ts$/, ".js");
      return path.startsWith(".") ? path : `./${path}`;
    })
    .replace(/^\/\/# sourceMappingURL=.*$/m, "");
}
