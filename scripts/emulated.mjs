// Runs op cases on processors that this machine is not, under qemu-user: `npm run test:emulated`.
// Names of cases as arguments: `npm run test:emulated -- linear`.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { firstCommand, main, root, runLogged, StepError, secondsSince } from "./lib/process.mjs";
import { buildAddon, buildFolder, host, missingFor } from "./release/addons.mjs";

/** Few enough for an emulator: every kernel file, each with small cases. */
const usual = ["base", "embed", "norm", "rotary", "soft_cap", "adamw", "activation", "elementwise"];
const names = process.argv.length > 2 ? process.argv.slice(2) : usual;

async function run(label, command, args, expected) {
  const start = performance.now();
  const output = await runLogged("emulated", command, [...args, ...names]);
  const lines = output.trimEnd().split("\n"); // qemu warns of what it does not emulate
  if (!lines.some((line) => line.endsWith(`:${expected}`))) {
    throw new StepError(`${label} should have the levels${expected}, and has not:\n${output}`);
  }
  process.stdout.write(`ok      ${label}: ${lines.at(-1)} (${secondsSince(start)})\n`);
}

await main(async () => {
  const x64 = firstCommand(["qemu-x86_64-static", "qemu-x86_64"]);
  const arm = firstCommand(["qemu-aarch64-static", "qemu-aarch64"]);
  if (!x64 || !arm) {
    throw new StepError(
      "qemu-user was not found",
      "Debian, Ubuntu: apt-get install qemu-user-static",
      3,
    );
  }
  if (host === "linux-x64-gnu") {
    const program = join(root, "native", "build", "Release", "op_tests");
    if (!existsSync(program)) throw new StepError(`${program} is missing`, "run `npm run setup`");
    const levels = { Nehalem: " x86-64-v2", Haswell: " x86-64-v2 x86-64-v3" };
    for (const [cpu, expected] of Object.entries(levels)) {
      await run(`x86-64, ${cpu}`, x64, ["-cpu", cpu, program], expected);
    }
  }
  const why = missingFor("linux-arm64-gnu");
  if (why) {
    process.stdout.write(`skipped 64-bit Arm: ${why}\n`);
    return 0;
  }
  await buildAddon("linux-arm64-gnu");
  const program = join(buildFolder("linux-arm64-gnu"), "Release", "op_tests");
  const libraries = ["-L", "/usr/aarch64-linux-gnu"];
  await run("64-bit Arm", arm, [...libraries, program], " arm64-neon");
  return 0;
});
