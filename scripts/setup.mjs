// Makes a fresh checkout ready to run: dependencies, libxsmm, the native addon, the TypeScript build.
// Changes nothing outside the checkout, and does only what is out of date.
//   --tests   also say which optional tools of the checks are there
//   --fresh   do every step again
import { existsSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { fetchLibxsmm, haveLibxsmm } from "./lib/libxsmm.mjs";
import {
  firstCommand,
  main,
  root,
  runLogged,
  StepError,
  secondsSince,
  toolEnvironment,
} from "./lib/process.mjs";
import {
  checkCMake,
  checkCpp20,
  checkNode,
  checkNpx,
  checkPlatform,
  findCompiler,
} from "./lib/requirements.mjs";
import { clearStamp, keyOf, stampOf, writeStamp } from "./lib/stamp.mjs";

const pnpm = "pnpm@12.21.0";
const addon = join(root, "native", "build", "Release", "keyheads.node");
const manifests = ["", "native/", "packages/keyheads/", "packages/models/", "packages/report/"]
  .concat("bench/")
  .map((folder) => `${folder}package.json`);

const fresh = process.argv.includes("--fresh");
const say = (step, text) => process.stdout.write(`${step.padEnd(13)} ${text}\n`);

/** Runs `work` unless it was finished for the same key and `output` is still there. */
async function once(step, { key, output, doing }, work) {
  if (!fresh && stampOf(step) === key && existsSync(output)) return say(step, "up to date");
  clearStamp(step);
  if (process.stdout.isTTY) say(step, doing);
  const start = performance.now();
  await work();
  if (!existsSync(output)) throw new StepError(`${step} made no ${relative(root, output)}`);
  writeStamp(step, key);
  return say(step, `done in ${secondsSince(start)}`);
}

function requirements() {
  const platform = checkPlatform();
  const node = checkNode();
  const compiler = findCompiler();
  const cmake = checkCMake();
  const key = keyOf({ text: [compiler.command, compiler.version, cmake, node, platform] });
  if (fresh || stampOf("requirements") !== key) {
    checkNpx();
    checkCpp20(compiler);
    writeStamp("requirements", key);
  }
  say("requirements", `node ${node}, ${compiler.version}, cmake ${cmake}`);
  return { compiler: compiler.version, node, cmake };
}

const dependencies = () =>
  once(
    "dependencies",
    {
      key: keyOf({
        text: [pnpm, process.versions.modules],
        paths: ["pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests],
      }),
      output: join(root, "node_modules", ".bin", "tsc"),
      doing: `installing with ${pnpm} (caches stay in .cache) ...`,
    },
    // CI=1: pnpm never asks a question.
    () =>
      runLogged("dependencies", "npx", ["-y", pnpm, "install", "--frozen-lockfile"], {
        env: { ...toolEnvironment(), CI: "1" },
      }),
  );

async function libxsmm() {
  if (haveLibxsmm()) return say("libxsmm", "in .third_party");
  const remembered = fresh ? undefined : stampOf("libxsmm");
  const reason = remembered ?? (await fetchLibxsmm());
  if (reason === undefined) return say("libxsmm", "unpacked into .third_party");
  writeStamp("libxsmm", reason);
  return say("libxsmm", `not there, the project's own kernels are used: ${reason}`);
}

async function native({ compiler, node, cmake }) {
  // CMake keeps what it found (compiler, headers, libraries, folders) for ever: forget it when one moves.
  const generator = firstCommand(["ninja"]) ?? "make";
  const machine = keyOf({
    text: [root, compiler, node, cmake, generator, haveLibxsmm(), process.env.CXX ?? ""],
    paths: ["pnpm-lock.yaml"],
  });
  const sources = ["native/CMakeLists.txt", "native/package.json", "native/src", "test/native"];
  const doing = "compiling (minutes the first time; log: .cache/logs/native.log) ...";
  await once(
    "native addon",
    { key: keyOf({ text: [machine], paths: sources }), output: addon, doing },
    async () => {
      const cmakeJs = (command, ...args) =>
        runLogged("native", join(root, "node_modules", ".bin", "cmake-js"), [
          command,
          ...["--directory", "native", "--out", "native/build"],
          ...args,
        ]);
      await runLogged("generate", process.execPath, ["native/generate.mjs", "--check"]);
      if (stampOf("native machine") !== machine) {
        rmSync(join(root, "native", "build"), { recursive: true, force: true });
        await cmakeJs("configure");
        writeStamp("native machine", machine);
      }
      await cmakeJs("build", "--parallel", String(availableParallelism()));
    },
  );
}

async function typescript() {
  const start = performance.now();
  await runLogged("typescript", join(root, "node_modules", ".bin", "tsc"), ["-b"]);
  say("typescript", `built in ${secondsSince(start)}`);
}

function optionalTools() {
  const tools = [
    ["clang-format", ["clang-format"], "the C++ format check"],
    ["chromium", ["chromium", "chromium-browser", "google-chrome"], "the report's browser tests"],
    ["nm", ["nm"], "the symbol check"],
  ];
  for (const [name, commands, what] of tools) {
    const found = firstCommand(commands);
    say("for tests", found ? `${name} found` : `${name} not found: ${what} will be skipped`);
  }
}

await main(async () => {
  const found = requirements();
  await dependencies();
  await libxsmm();
  await native(found);
  await typescript();
  if (process.argv.includes("--tests")) optionalTools();
});
