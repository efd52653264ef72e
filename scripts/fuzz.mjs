// Random input for a while: `npm run fuzz -- [--seconds 60] [--seed N]`. Half of the time the native
// ops with random shapes, half damaged model folders, malformed requests, batch invariance of random
// models, and random hooks. A failure prints the seed that shows it again; a case that hangs is ended.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  cacheFolder,
  main,
  root,
  runLogged,
  secondsSince,
  toolEnvironment,
} from "./lib/process.mjs";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
  },
});
const seconds = Number(values.seconds);
const seed = Number(values.seed);
if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
  throw new Error(`--seconds ${values.seconds} --seed ${values.seed}: expected numbers`);
}

const log = join(cacheFolder, "fuzz", "cases.log");
const patienceMs = 60_000;
const lastCase = () => readFileSync(log, "utf8").trimEnd().split("\n").at(-1);

async function native() {
  const program = join(root, "native", "build", "Release", "op_tests");
  const share = String(seconds / 2);
  const output = await runLogged("fuzz-ops", program, ["--fuzz", share, "--seed", String(seed)]);
  process.stdout.write(`ops: ${output.trimEnd().split("\n").at(-1)}\n`);
}

/** Resolves to an exit code; ends the tests when a case takes too long. */
async function library() {
  rmSync(log, { force: true });
  const child = spawn(join(root, "node_modules", ".bin", "vitest"), ["run", "test/fuzz"], {
    cwd: root,
    env: {
      ...toolEnvironment(),
      KEYHEADS_FUZZ_SECONDS: String(seconds / 2),
      KEYHEADS_FUZZ_SEED: String(seed),
    },
    stdio: "inherit",
    detached: true,
  });
  let hung = false;
  const watch = setInterval(() => {
    if (!existsSync(log) || Date.now() - statSync(log).mtimeMs < patienceMs) return;
    hung = true;
    process.kill(-child.pid, "SIGKILL");
  }, 1000);
  const code = await new Promise((resolve) => child.once("exit", resolve));
  clearInterval(watch);
  if (code === 0) return 0;
  const why = hung ? `took more than ${patienceMs / 1000} s` : "is the last one that began";
  process.stderr.write(`case "${lastCase()}" ${why}; again: npm run fuzz -- --seed ${seed}\n`);
  return 1;
}

await main(async () => {
  process.chdir(root);
  const start = performance.now();
  process.stdout.write(`seed ${seed}\n`);
  await native();
  const code = await library();
  process.stdout.write(`${code === 0 ? "nothing found" : "FAILED"} in ${secondsSince(start)}\n`);
  return code;
});
