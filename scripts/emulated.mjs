// Runs op cases on processors and systems that this machine is not, under qemu-user and wine:
// `npm run test:emulated`. Names of cases as arguments: `npm run test:emulated -- linear`.
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  cacheFolder,
  firstCommand,
  main,
  outputOf,
  root,
  runLogged,
  StepError,
  secondsSince,
} from "./lib/process.mjs";
import { checkNeeds } from "./lib/symbols.mjs";
import { buildAddon, buildFolder, host, missingCompiler } from "./release/addons.mjs";
import { wine } from "./release/runtimes.mjs";

/** Few enough for an emulator: every kernel file, each with small cases. */
const usual = ["base", "embed", "norm", "rotary", "soft_cap", "adamw", "activation", "elementwise"];
const names = process.argv.length > 2 ? process.argv.slice(2) : usual;
const levels = " x86-64-v2 x86-64-v3";

const qemuX64 = firstCommand(["qemu-x86_64-static", "qemu-x86_64"]);
const qemuArm = firstCommand(["qemu-aarch64-static", "qemu-aarch64"]);

async function step(label, work) {
  const start = performance.now();
  const said = await work();
  process.stdout.write(`ok      ${label}: ${said} (${secondsSince(start)})\n`);
}

/** Runs the op cases; the program must say that it has these levels, or others after them. */
async function cases(label, [command, ...args], expected, { more = false, env = {} } = {}) {
  const output = await runLogged("emulated", command, [...args, ...names], {
    env: { ...process.env, ...env },
  });
  const lines = output.trimEnd().split(/\r?\n/); // emulators warn of what they do not have
  const [, found] = lines.map((line) => /:( (?:x86-64-|arm64-).*)$/.exec(line)).find(Boolean) ?? [];
  if (found === expected || (more && found?.startsWith(expected))) return lines.at(-1);
  throw new StepError(`${label} should have the levels${expected}, and has not:\n${output}`);
}

/** The op cases on a lesser processor: no instruction of a higher level may be reached. */
async function lesserProcessors() {
  const program = join(root, "native", "build", "Release", "op_tests");
  if (!existsSync(program)) throw new StepError(`${program} is missing`, "run `npm run setup`");
  for (const [cpu, expected] of [
    ["Nehalem", " x86-64-v2"],
    ["Haswell", levels],
  ]) {
    const label = `x86-64, ${cpu}`;
    await step(label, () => cases(label, [qemuX64, "-cpu", cpu, program], expected));
  }
}

/** Node with the addon on a processor without SSE4.2: an error with the remedy, and no signal. */
async function tooOldProcessor() {
  const load = join(root, "native", "dist", "load.js");
  const script = `import(${JSON.stringify(load)}).then((native) => {
    try { native.loadBinding(); } catch ({ code, message }) { console.log(code, message); }
  });`;
  const said = outputOf(qemuX64, ["-cpu", "core2duo", process.execPath, "-e", script]);
  if (
    /^NO_BINARY .*use another machine.*\n.*this processor \(.+\) lacks SSE4\.2/.test(said ?? "")
  ) {
    return "refused with its name and the remedy";
  }
  throw new StepError(`Node on a processor without SSE4.2 says ${said}`);
}

/** Builds for another system and runs its op cases. */
async function otherSystem(target, label, command, expected, options) {
  const why = missingCompiler(target);
  if (why) return void process.stdout.write(`skipped ${label}: ${why}\n`);
  await step(label, async () => {
    await buildAddon(target);
    return await cases(
      label,
      command(join(buildFolder(target), "Release", "op_tests")),
      expected,
      options,
    );
  });
}

/** macOS cannot be emulated: the sources compile, link, and need nothing that it does not have. */
async function linksFor(target) {
  const why =
    missingCompiler(target) ?? (firstCommand(["llvm-nm"]) ? undefined : "llvm-nm is missing");
  if (why) return void process.stdout.write(`skipped ${target}: ${why}\n`);
  await step(target, async () => {
    checkNeeds(await buildAddon(target), "darwin");
    return "links, and needs libSystem and Node only";
  });
}

await main(async () => {
  if (!qemuX64 || !qemuArm) {
    throw new StepError(
      "qemu-user was not found",
      "Debian, Ubuntu: apt-get install qemu-user-static",
      3,
    );
  }
  if (host === "linux-x64-gnu") {
    await lesserProcessors();
    await step("x86-64, core2duo", tooOldProcessor);
  }
  const arm = (program) => [qemuArm, "-L", "/usr/aarch64-linux-gnu", program];
  await otherSystem("linux-arm64-gnu", "64-bit Arm", arm, " arm64-neon");
  if (process.arch !== "x64") return 0;
  await otherSystem("linux-x64-musl", "musl", (program) => [program], levels, { more: true });
  if (!wine()) process.stdout.write("skipped Windows: wine is not installed\n");
  else {
    const env = { WINEDEBUG: "-all", WINEPREFIX: join(cacheFolder, "wine") };
    const command = (program) => [wine(), `${program}.exe`];
    await otherSystem("win32-x64", "Windows, in wine", command, levels, { more: true, env });
  }
  for (const target of ["darwin-arm64", "darwin-x64"]) await linksFor(target);
  return 0;
});
