/** Trains a model from scratch as a config file says, and saves it as a Hugging Face folder. */
import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { KeyheadsError } from "../../errors.ts";
import { readPretrainConfig } from "../../pretraining/config.ts";
import { type PretrainEvent, pretrain } from "../../pretraining/pretrain.ts";
import type { Probe } from "../../pretraining/probe.ts";
import { outputFolder } from "../../save/output-folder.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { force, modelOptions, optional } from "../options.ts";
import { refuseExisting } from "../output-file.ts";
import { planPretraining } from "../plan-pretrain.ts";
import { peakBytes, secondsSince } from "../session.ts";
import { count } from "../table.ts";
import { trainingProgress } from "../training.ts";
import { integer, text } from "../values.ts";

export const command = defineCommand({
  name: "pretrain",
  summary: "train a model from scratch as a config file says",
  argument: { usage: "<config>", help: "JSON file (docs/pretraining.md)" },
  examples: [
    "pretrain packages/models/pretraining/arith.json --out ./arith",
    "pretrain packages/models/pretraining/arith.json --out ./arith --resume ./arith.pretraining",
  ],
  options: {
    json: optional.json,
    out: option("--out <folder>", "where the trained model goes", text()),
    threads: option(
      "--threads <n>",
      "compute threads (default: all allowed CPUs)",
      integer(1, 1024).optional(),
    ),
    resume: option(
      "--resume <folder>",
      "continue from the checkpoint in this folder",
      text().optional(),
    ),
    dryRun: modelOptions.dryRun,
    force,
  },
  async run(values, cli) {
    const start = performance.now();
    const config = await readPretrainConfig(values.target);
    if (values.dryRun) return await planPretraining(config, values.threads);
    const folder = values.resume ?? `${values.out}.pretraining`;
    refuseExisting(values.out, values.force);
    if (values.resume === undefined && existsSync(folder)) {
      if (!values.force) {
        throw new KeyheadsError(
          "OUTPUT_EXISTS",
          `${folder} holds another run; continue it with --resume ${folder}, or start anew with --force`,
        );
      }
      await rm(folder, { recursive: true });
    }
    const { loss, model, ...result } = await withEvents(cli, (onEvent) =>
      pretrain(config, {
        folder,
        resume: values.resume !== undefined,
        ...(values.threads !== undefined && { threads: values.threads }),
        signal: cli.signal,
        onEvent,
      }),
    );
    const options = { force: values.force };
    await outputFolder(values.out, options, (to) => cp(model, to, { recursive: true }));
    const shared = { seconds: secondsSince(start), peakBytes: peakBytes() };
    return {
      data: { ...shared, ...result, loss, out: values.out, run: folder },
      text: () =>
        `${values.out}: ${count(result.parameters)} parameters, ${result.steps} updates\n`,
    };
  },
});

/** Shows what pretraining says on the way. */
async function withEvents<T>(
  cli: Cli,
  run: (onEvent: (event: PretrainEvent) => void) => Promise<T>,
): Promise<T> {
  using progress = trainingProgress(cli, "pretrain");
  return await run((event) => {
    if (event.type === "start") {
      const from = event.step > 0 ? `, from update ${event.step}` : "";
      cli.note(`training ${count(event.parameters)} parameters${from}`);
      return;
    }
    progress.onEvent(event);
    if (event.type === "step" && event.probe) cli.note(probeLine(event.step, event.probe));
  });
}

function probeLine(step: number, probe: Probe): string {
  const accuracies = Object.entries(probe.accuracy).map(
    ([name, share]) => `${name} ${Math.round(100 * share)}`,
  );
  return `update ${step}: % right: ${accuracies.join(", ")}; text ${probe.textLoss.toFixed(2)} nats a token`;
}
