/** Compares the engine with golden reference data; exit code 5 if a group is off. */
import { basename } from "node:path";
import { KeyheadsError } from "../../errors.ts";
import { resolveModel } from "../../load/resolve-model.ts";
import { type VerifyResult, verify } from "../../verify/verify.ts";
import { defineCommand, option } from "../command.ts";
import { force, modelOptions } from "../options.ts";
import { availableDtype, peakBytes, placeShown, secondsSince } from "../session.ts";
import { table } from "../table.ts";
import { text, value } from "../values.ts";
import { showAll, verifyAll } from "../verify-all.ts";

const verificationFailed = 5;
const { dryRun: _, delta: __, ...options } = modelOptions;
const folders = value("folders", (given) => {
  if (Array.isArray(given)) return given.map(String);
  return given === true ? [] : undefined;
});

export const command = defineCommand({
  name: "verify",
  summary: "compare the engine with golden reference data",
  argument: { usage: "[folder]", help: "model folder with golden.* or reference.safetensors" },
  examples: ["verify test/fixtures/gpt2", "verify stories260K --json", "verify --all"],
  options: {
    ...options,
    all: option(
      "--all [folder...]",
      "verify every golden folder in these (default: test/fixtures) in every dtype",
      folders.optional(),
    ),
    table: option(
      "--table <file>",
      "with --all: where the table of errors goes (default: docs/parity.md)",
      text().default("docs/parity.md"),
    ),
    force,
  },
  async run(values, cli) {
    const dtype = availableDtype(values);
    const { threads, memoryBudget, target, all } = values;
    const load = {
      device: values.device,
      tf32: values.tf32,
      ...(threads !== undefined && { threads }),
      ...(memoryBudget !== undefined && { memoryBudget }),
      signal: cli.signal,
    };
    const start = performance.now();
    const spent = () => ({ seconds: secondsSince(start), peakBytes: peakBytes() });
    if (all !== undefined) {
      if (target !== "") {
        throw new KeyheadsError("USAGE", `name folders after --all, not before: --all ${target}`);
      }
      const models = await verifyAll({ folders: all, ...values, load }, cli);
      const pass = models.every((model) => model.pass);
      return {
        data: { ...placeShown(values), table: values.table, ...spent(), models, pass },
        text: () => showAll(models),
        exitCode: pass ? 0 : verificationFailed,
      };
    }
    if (target === "") throw new KeyheadsError("USAGE", "name a folder, or --all");
    const folder = await resolveModel(target);
    using progress = cli.progress("verify");
    const result = await verify(folder, {
      ...load,
      dtype,
      onGroup: (_group, done, total) => progress.onProgress(done, total),
    });
    const shared = { model: basename(folder), ...placeShown(values), dtype };
    return {
      data: { ...shared, ...spent(), ...result },
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
