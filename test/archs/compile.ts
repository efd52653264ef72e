import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The type errors of each module, "" where there are none, by one run of the compiler. */
export function compile(modules: Readonly<Record<string, string>>): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-types-"));
  for (const [name, source] of Object.entries(modules)) {
    writeFileSync(join(folder, `${name}.mts`), source);
  }
  const config = {
    extends: join(root, ".configs/tsconfig.base.json"),
    compilerOptions: {
      noEmit: true,
      composite: false,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false,
      typeRoots: [join(root, "node_modules/@types")],
    },
    include: ["*.mts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  let output = "";
  try {
    execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", folder, "--pretty", "false"]);
  } catch (error) {
    output = String((error as { stdout: Buffer }).stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
  // An error begins with its file; lines that belong to it are indented.
  const messages = output.split(/\n(?! )/);
  const of = (name: string) => messages.filter((message) => message.includes(`${name}.mts(`));
  return Object.fromEntries(Object.keys(modules).map((name) => [name, of(name).join("\n")]));
}
