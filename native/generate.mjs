// Turns the tables in native/src/schema into TypeScript, a C++ hash and documentation, and the version
// into TypeScript.
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
  /^HOOK\((\w+),\s*"([^"]+)",\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)"\)$/,
);
const choices = rowsOf("native/src/schema/choices.def", "CHOICE", /^CHOICE\((\w+),\s*(\w+)\)$/);
const hash = createHash("sha256")
  // What a name means to people (equation, aliases) does not bind the binary.
  .update(JSON.stringify([hooks.map((row) => row.slice(0, 7)), choices]))
  .digest("hex")
  .slice(0, 12);

const fullName = ([, name, per]) => (per === "layer" ? `blocks.{i}.${name}` : name);
/** "a b:condition" as [{ name, only? }], with the layer's prefix. */
const aliasesOf = ([id, , per, , , , , , alias]) =>
  alias
    .split(" ")
    .filter((word) => word !== "")
    .map((word) => {
      const [name, only] = word.split(":");
      return { name: fullName([id, name, per]), ...(only && { only }) };
    });
/** Text between two marks of a file, replaced. */
const between = (path, lines) => {
  const [begin, end] = ["<!-- generated: begin -->", "<!-- generated: end -->"];
  const text = read(path);
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} lacks the marks ${begin} and ${end}`);
  return text.slice(0, from + begin.length) + ["\n", ...lines, ""].join("\n") + text.slice(to);
};
const cell = (text) => text.replaceAll("|", "\\|");
const code = (text) => (text ? `\`${text}\`` : "");
const kinds = [...new Set(choices.map(([kind]) => kind))];

const targets = {
  "native/generated/schema.ts": [
    "// Generated from native/src/schema by `npm run generate`.",
    `export const schemaHash = "${hash}";`,
    "",
    "export const hookTable = {",
    ...hooks.flatMap((row, index) => {
      const [id, name, per, heads, rows, width, when, equation] = row;
      return [
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
      ];
    }),
    "} as const;",
    "",
    "/** TransformerLens v3's names, where they differ; `only` says in which models. */",
    "export const hookAliases = [",
    ...hooks.flatMap((row) =>
      aliasesOf(row).map(({ name, only }) => {
        const condition = only ? `, only: "${only}"` : "";
        return `  { id: "${row[0]}", name: "${name}"${condition} },`;
      }),
    ),
    "] as const;",
    "",
    ...kinds.flatMap((kind) => {
      const values = choices.filter(([k]) => k === kind).map(([, value]) => JSON.stringify(value));
      const name = `${kind}Choices`;
      return [`export const ${name} = [${values.join(", ")}] as const;`];
    }),
    "",
  ].join("\n"),
  "native/generated/version.ts": [
    "// Generated from packages/keyheads/package.json by `npm run generate`.",
    `export const version = ${JSON.stringify(JSON.parse(read("packages/keyheads/package.json")).version)};`,
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
  "docs/hooks.md": between("docs/hooks.md", [
    "| name | alias | shape | exists | equation | Hugging Face: LLaMA | Hugging Face: GPT-2 |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...hooks.map((row) => {
      const [, , , heads, rows, width, when, equation, , llama, gpt2] = row;
      const parts = [heads === "none" ? "" : `${heads} heads`, width === "one" ? "1" : width];
      const shape =
        rows === "pattern"
          ? "[heads, query, key]"
          : `[${["tokens", ...parts].filter(Boolean).join(", ")}]`;
      const aliases = aliasesOf(row)
        .map(({ name, only }) => code(name) + (only ? ` (${only.replace("_", " ")})` : ""))
        .join(", ");
      const cells = [code(fullName(row)), aliases, shape, when, equation, llama, gpt2].map(cell);
      return `| ${cells.join(" | ")} |`;
    }),
    "",
  ]),
};

for (const [path, text] of Object.entries(targets)) {
  if (process.argv.includes("--check")) {
    if (read(path) !== text) throw new Error(`${path} is out of date; run \`npm run generate\``);
  } else {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}
