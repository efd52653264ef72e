// Installs packages into an empty project on this system and uses them, with Node and npm alone:
//   node scripts/release/smoke.mjs keyheads@1.2.3
//   node scripts/release/smoke.mjs keyheads-1.2.3.tgz keyheads-win32-x64-1.2.3.tgz
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

const sources = join(import.meta.dirname, "..", "..", "test", "release");
const project = mkdtempSync(join(tmpdir(), "keyheads-smoke-"));

function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: project,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...options,
  });
  if (status === 0) return stdout;
  const what = [command, ...args].join(" ");
  throw new Error(`\`${what}\` ended with ${status ?? error}\n${stdout}${stderr}`);
}

/** What must hold of the last line that a script prints, as JSON. */
const scripts = {
  "esm.mjs": ({ finite, captures, from }) => finite && captures === 1 && from.kind === "package",
  "require.cjs": ({ finite, refused, from }) => finite && refused && from.kind === "package",
  "worker.mjs": ({ equal, numbers }) => equal && numbers > 0,
};

const packages = process.argv.slice(2).map((name) => (existsSync(name) ? resolve(name) : name));
if (packages.length === 0) throw new Error("expected packages: names with versions, or tarballs");
writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true }));
// One string: npm is a batch file on Windows, which needs a shell.
const quoted = packages.map((name) => JSON.stringify(name)).join(" ");
run(`npm install --ignore-scripts --no-audit --no-fund ${quoted}`, [], { shell: true });

const program = join(project, "node_modules", "keyheads", "bin", "keyheads.mjs");
const { ok, system, checks } = JSON.parse(run(process.execPath, [program, "doctor", "--json"]));
const value = (name) => checks.find((check) => check.name === name)?.value ?? "";
for (const name of ["addon", "CPU", "self-test"]) console.log(`${name}: ${value(name)}`);
if (!ok || !value("addon").startsWith("package ") || !value("self-test").endsWith("agree")) {
  throw new Error(`keyheads doctor finds fault: ${JSON.stringify(checks, undefined, 2)}`);
}
for (const [script, holds] of Object.entries(scripts)) {
  cpSync(join(sources, script), join(project, script));
  const said = run(process.execPath, [script]).trim().split(/\r?\n/).at(-1);
  if (!holds(JSON.parse(said))) throw new Error(`${script} says ${said}`);
}
const names = packages.map((name) => basename(name)).join(", ");
console.log(`ok: ${names} on ${system.os} ${system.cpu}, Node ${process.version}`);
