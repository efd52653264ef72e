// `npm run test:gpu`, on a machine with an NVIDIA GPU and nvcc: every op against the CPU, under
// NVIDIA's compute-sanitizer too where it is installed, and the tests of whole models.
//   --shim        the same on the CPU, with the library that the tests build (no sanitizer)
//   --ops-only    without the tests of whole models
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { firstCommand, main, root, runShown, StepError, secondsSince } from "./lib/process.mjs";

const { values } = parseArgs({
  options: { shim: { type: "boolean" }, "ops-only": { type: "boolean" } },
});
const built = (name) => join(root, "native", "build", "Release", name);
const library = built(values.shim ? "keyheads_cuda_shim.so" : "keyheads_cuda.so");
const cases = [built("op_tests"), "--device", library];

async function step(name, command, args, env = {}) {
  const start = performance.now();
  process.stdout.write(`\n== ${name}\n`);
  const code = await runShown(command, args, { env: { ...process.env, ...env } });
  process.stdout.write(`== ${name}: ${code === 0 ? "ok" : "FAILED"} (${secondsSince(start)})\n`);
  return code === 0;
}

async function sanitizers() {
  if (values.shim) return true;
  const sanitizer = firstCommand(["compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer"]);
  if (!sanitizer) {
    process.stdout.write("\n== compute-sanitizer is not installed: not run\n");
    return true;
  }
  let clean = true;
  for (const tool of ["memcheck", "racecheck", "initcheck"]) {
    const args = ["--tool", tool, "--error-exitcode", "1", ...cases];
    clean = (await step(`ops under ${tool}`, sanitizer, args)) && clean;
  }
  return clean;
}

await main(async () => {
  if (!existsSync(library)) {
    throw new StepError(
      `${library} is missing`,
      "run `npm run setup` where nvcc is on PATH or in /usr/local/cuda/bin",
    );
  }
  const [program, ...args] = cases;
  const ops = await step("ops", program, args);
  const clean = await sanitizers();
  const models =
    values["ops-only"] ||
    (await step("models", join(root, "node_modules", ".bin", "vitest"), ["run", "test/cuda"], {
      KEYHEADS_CUDA_LIBRARY: library,
    }));
  return ops && clean && models ? 0 : 1;
});
