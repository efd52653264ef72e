// Every check of the project, one after the other; all run even if one fails. Needs `npm run setup`.
// Arguments go to vitest: `npm test -- test/cli`.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  cacheFolder,
  firstCommand,
  main,
  outputOf,
  root,
  runLogged,
  runShown,
  secondsSince,
} from "./lib/process.mjs";
import { checkAddon } from "./lib/symbols.mjs";

const bin = (name) => join(root, "node_modules", ".bin", name);
const failed = [];
let passed = 0;
let skipped = 0;

/** `run` resolves to a string to explain a skip, throws to fail. */
async function check(name, run) {
  const start = performance.now();
  try {
    const skip = await run();
    if (typeof skip === "string") {
      skipped += 1;
      process.stdout.write(`skipped ${name}: ${skip}\n`);
      return;
    }
    passed += 1;
    process.stdout.write(`ok      ${name} (${secondsSince(start)})\n`);
  } catch (error) {
    failed.push(name);
    process.stdout.write(`FAILED  ${name} (${secondsSince(start)})\n`);
    process.stderr.write(`${error.message}\n${error.remedy ? `  ${error.remedy}\n` : ""}`);
  }
}

/** Sources that git knows of, or all of them outside a git checkout. */
function cppSources() {
  const files =
    outputOf("git", ["ls-files", "-co", "--exclude-standard", "native", "test/native"]) ??
    ["native/src", "test/native"]
      .flatMap((folder) =>
        readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)),
      )
      .join("\n");
  return files.split("\n").filter((path) => /\.(h|cc|cu)$/.test(path) && existsSync(path));
}

async function clangFormat() {
  const command = firstCommand(["clang-format"]);
  if (!command) return "clang-format is not installed";
  await runLogged("clang-format", command, ["--dry-run", "-Werror", ...cppSources()]);
  return undefined;
}

async function symbols() {
  if (!firstCommand(["nm"])) return "nm is not installed";
  await runLogged("symbols", process.execPath, ["test/native/check_symbols.mjs"]);
  checkAddon();
  return undefined;
}

async function nativeTests() {
  const program = join(root, "native", "build", "Release", "op_tests");
  const output = await runLogged("op-tests", program, []);
  process.stdout.write(`        ${output.trimEnd().split("\n").at(-1)}\n`);
}

/** The CUDA half of the ops, compiled for the CPU; products also through cuBLASLt's calls. */
async function nativeTestsOfDevice() {
  const folder = join(root, "native", "build", "Release");
  const library = join(folder, "keyheads_cuda_shim.so");
  if (!existsSync(library)) return "it is built for x86-64 only";
  const run = async (name, names, env) => {
    const args = ["--device", library, ...names];
    const output = await runLogged(name, join(folder, "op_tests"), args, { env });
    process.stdout.write(`        ${output.trimEnd().split("\n").at(-1)}\n`);
  };
  await run("op-tests-cuda", [], process.env);
  const products = ["linear", "tf32", "mixture"];
  await run("op-tests-cublaslt", products, {
    ...process.env,
    KEYHEADS_CUBLASLT: join(folder, "cublaslt_stand_in.so"),
  });
  return undefined;
}

async function vitest() {
  const report = join(cacheFolder, "test", "vitest.json");
  const code = await runShown(bin("vitest"), [
    "run",
    ...["--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
    ...process.argv.slice(2),
  ]);
  if (code !== 0) failed.push("vitest");
  else passed += 1;
  const counts = existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : undefined;
  if (!counts) return "no tests ran";
  const left = counts.numPendingTests + (counts.numTodoTests ?? 0);
  return `${counts.numPassedTests} passed, ${counts.numFailedTests} failed, ${left} skipped`;
}

await main(async () => {
  process.chdir(root);
  const start = performance.now();
  await check("generated files", () =>
    runLogged("generate", process.execPath, ["native/generate.mjs", "--check"]).then(() => {}),
  );
  await check("biome", () => runLogged("biome", bin("biome"), ["check", "."]).then(() => {}));
  await check("clang-format", clangFormat);
  await check("types", () => runLogged("typescript", bin("tsc"), ["-b"]).then(() => {}));
  await check("symbols", symbols);
  await check("native op tests", nativeTests);
  await check("ops on the CUDA shim", nativeTestsOfDevice);
  const tests = await vitest();

  const list = failed.length > 0 ? ` (${failed.join(", ")})` : "";
  process.stdout.write(
    `\nchecks: ${passed} passed, ${failed.length} failed${list}, ${skipped} skipped\n` +
      `tests: ${tests}\nin ${secondsSince(start)}\n`,
  );
  return failed.length > 0 ? 1 : 0;
});
