// Builds the op tests with sanitizers, for this processor's instruction set, and runs them; the first
// finding ends the run. `npm run test:sanitize`, or with names: `-- address` (and undefined), `thread`.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { main, root, runLogged, StepError, secondsSince } from "./lib/process.mjs";

// Without libxsmm, whose generated code sanitizers do not see.
const builds = [
  {
    name: "address",
    sanitize: "address,undefined",
    // Every op; some with random shapes too.
    runs: [[], ["--fuzz", "10", "--seed", "1"]],
    env: { ASAN_OPTIONS: "detect_leaks=1:detect_stack_use_after_return=1" },
  },
  {
    name: "thread",
    sanitize: "thread",
    runs: [["pool"], ["--fuzz", "20", "--seed", "1"]],
    env: { TSAN_OPTIONS: "halt_on_error=1:second_deadlock_stack=1" },
  },
];

/** The best instruction set of this processor, by its flags. */
function instructionSet() {
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  const has = (...names) => names.every((name) => flags.split(" ").includes(name));
  if (has("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")) return "v4";
  return has("avx2", "fma", "bmi2") ? "v3" : "v2";
}

async function check({ name, sanitize, runs, env }, isa) {
  const start = performance.now();
  const folder = join("native", `build-${name}`);
  const settings = [`-DKEYHEADS_SANITIZE=${sanitize}`, `-DKEYHEADS_ONLY_ISA=${isa}`];
  await runLogged(`sanitize-${name}`, "cmake", [
    ...["-S", "native", "-B", folder, "-DKEYHEADS_LIBXSMM=OFF", ...settings],
  ]);
  const parallel = ["--parallel", String(availableParallelism())];
  await runLogged(`sanitize-${name}`, "cmake", ["--build", folder, ...parallel]);
  process.stdout.write(`${name.padEnd(8)} built for ${isa} in ${secondsSince(start)}\n`);
  for (const args of runs) {
    const begin = performance.now();
    const output = await runLogged(`sanitize-${name}`, join(root, folder, "op_tests"), args, {
      env: { ...process.env, ...env },
    });
    const last = output.trimEnd().split("\n").at(-1);
    process.stdout.write(
      `${name.padEnd(8)} op_tests ${args.join(" ")}: ${last} (${secondsSince(begin)})\n`,
    );
  }
}

await main(async () => {
  process.chdir(root);
  const wanted = process.argv.slice(2);
  const chosen = builds.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  if (chosen.length === 0) {
    throw new StepError(`no sanitizer build is called ${wanted.join(", ")}`, "address or thread");
  }
  const isa = instructionSet();
  for (const build of chosen) await check(build, isa);
});
