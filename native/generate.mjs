// Turns the tables in native/src/schema into TypeScript, a C++ hash and documentation.
// `--check` writes nothing and fails if a file on disk differs.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path) => readFileSync(join(root, path), "utf8");
const rowsOf = (path, macro, pattern) =>
  read(path)
    .split("\n")
    .filter((line) => line.startsWith(`${macro}(`))
    .map((line) => {
      const match = pattern.exec(line.trim());
      if (!match) throw new Error(`${path}: cannot read this row: ${line}`);
      return match.slice(1);
    });

const hooks = rowsOf(
  "native/src/schema/hooks.def",
  "HOOK",
  /^HOOK\((\w+),\s*"([^"]+)",\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*"([^"]*)"\)$/,
);
const choices = rowsOf("native/src/schema/choices.def", "CHOICE", /^CHOICE\((\w+),\s*(\w+)\)$/);
const hash = createHash("sha256")
  .update(JSON.stringify([hooks, choices]))
  .digest("hex")
  .slice(0, 12);

const fullName = ([, name, per]) => (per === "layer" ? `blocks.{i}.${name}` : name);
const kinds = [...new Set(choices.map(([kind]) => kind))];

const targets = {
  "native/generated/schema.ts": [
    "// Generated from native/src/schema by `npm run generate`.",
    `export const schemaHash = "${hash}";`,
    "",
    "export const hookTable = {",
    ...hooks.flatMap(([id, name, per, heads, rows, width, when, equation], index) => [
      `  /** ${equation} */`,
      `  ${id}: {`,
      `    id: ${index},`,
      `    name: ${JSON.stringify(fullName([id, name, per]))},`,
      `    per: "${per}",`,
      `    heads: "${heads}",`,
      `    rows: "${rows}",`,
      `    width: "${width}",`,
      `    when: "${when}",`,
      "  },",
    ]),
    "} as const;",
    "",
    ...kinds.flatMap((kind) => {
      const values = choices.filter(([k]) => k === kind).map(([, value]) => JSON.stringify(value));
      const name = `${kind}Choices`;
      return [`export const ${name} = [${values.join(", ")}] as const;`];
    }),
    "",
  ].join("\n"),
  "native/src/schema/hash.h": [
    "// Generated from native/src/schema by `npm run generate`.",
    "#pragma once",
    "namespace keyheads {",
    `inline constexpr const char* kSchemaHash = "${hash}";`,
    "}  // namespace keyheads",
    "",
  ].join("\n"),
  "docs/hooks.md": [
    "# Hook points",
    "",
    "<!-- Generated from native/src/schema/hooks.def by `npm run generate`. -->",
    "",
    "Names are TransformerLens v2's; values are raw (no norm is folded into a weight). Rows are",
    "packed tokens, so a capture is `[tokens, heads?, width]`; scores and patterns are per item",
    "`[heads, query, key]`. Layers, heads and positions count from zero.",
    "",
    "| name | heads | rows | width | exists | equation |",
    "| --- | --- | --- | --- | --- | --- |",
    ...hooks.map(
      ([id, name, per, heads, rows, width, when, equation]) =>
        `| \`${fullName([id, name, per])}\` | ${heads} | ${rows} | ${width} | ${when} | ${equation.replaceAll("|", "\\|")} |`,
    ),
    "",
  ].join("\n"),
};

for (const [path, text] of Object.entries(targets)) {
  if (process.argv.includes("--check")) {
    if (read(path) !== text) throw new Error(`${path} is out of date; run \`npm run generate\``);
  } else {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}
