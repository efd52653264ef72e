/** Compares the engine with golden reference data; exit code 5 if a group is off. */
import { basename } from "node:path";
import { resolveModel } from "../../load/resolve-model.ts";
import { type VerifyResult, verify } from "../../verify/verify.ts";
import { defineCommand } from "../command.ts";
import { modelOptions } from "../options.ts";
import { availableDtype, peakBytes, secondsSince } from "../session.ts";
import { table } from "../table.ts";

const verificationFailed = 5;
const { dryRun: _, ...options } = modelOptions;

export const command = defineCommand({
  name: "verify",
  summary: "compare the engine with golden reference data",
  argument: { usage: "<folder>", help: "model folder with golden.* or reference.safetensors" },
  examples: ["verify test/fixtures/gpt2", "verify stories260K --json"],
  options,
  async run(values, cli) {
    const dtype = availableDtype(values);
    const folder = await resolveModel(values.target);
    const { threads, memoryBudget } = values;
    const start = performance.now();
    using progress = cli.progress("verify");
    const result = await verify(folder, {
      dtype,
      ...(threads !== undefined && { threads }),
      ...(memoryBudget !== undefined && { memoryBudget }),
      signal: cli.signal,
      onGroup: (_group, done, total) => progress.onProgress(done, total),
    });
    const shared = { model: basename(folder), device: values.device, dtype };
    return {
      data: { ...shared, seconds: secondsSince(start), peakBytes: peakBytes(), ...result },
      text: () => show(result),
      exitCode: result.pass ? 0 : verificationFailed,
    };
  },
});

function show({ groups, pass }: VerifyResult): string {
  const rows = groups.map(({ name, maxAbs, tolerance, pass, error }) => [
    name,
    maxAbs?.toExponential(2) ?? "–",
    tolerance?.toExponential(2) ?? "–",
    pass ? "ok" : `FAILED${error === undefined ? "" : `: ${error}`}`,
  ]);
  const failed = groups.filter((group) => !group.pass).length;
  const verdict = pass ? "all agree" : `${failed} do not agree`;
  return `${table(["group", "deviation", "tolerance", ""], rows)}\n${groups.length} groups: ${verdict}\n`;
}
