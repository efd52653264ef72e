/** Trains only the chosen heads and MLPs and saves the model as a Hugging Face folder. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import { saveModel } from "../../save/save-model.ts";
import type { TuneEvent, TuneOptions } from "../../tuning/options.ts";
import { planTuning } from "../../tuning/plan.ts";
import { tune } from "../../tuning/tune.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { type ComponentValues, chosenComponents } from "../components.ts";
import { loadItems } from "../items.ts";
import { components, force, items, modelOptions, seed, strict } from "../options.ts";
import { refuseExisting } from "../output-file.ts";
import { trainingStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { tuneText } from "../show/tune.ts";
import { endIds } from "../stop-ids.ts";
import { count } from "../table.ts";
import { choice, flag, integer, number, text } from "../values.ts";

const defaultBatch = 16;

export const command = defineCommand({
  name: "tune",
  summary: "train only the chosen heads and MLPs",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "tune ./my-model --items train.jsonl --heads 3.1,12.22 --out ./tuned",
    "tune ./my-model --items train.jsonl --from identify.json --top 32 --epochs 2 --out ./tuned",
  ],
  options: {
    ...modelOptions,
    items,
    ...components,
    out: option("--out <folder>", "where the tuned model goes", text()),
    method: option(
      "--method <name>",
      "precise (the chosen heads), random (as many others of the same layers) or full",
      choice("precise", "full", "random", "lora").default("precise"),
    ),
    epochs: option("--epochs <n>", "passes over the items (default: 1)", integer(1).optional()),
    steps: option("--steps <n>", "updates, instead of epochs", integer(1).optional()),
    lr: option("--lr <x>", "learning rate (default: 2e-5)", number({ above: 0 }).optional()),
    batch: option(
      "--batch <n>",
      `items that run at once (default: ${defaultBatch})`,
      integer(1).default(defaultBatch),
    ),
    accumulate: option(
      "--accumulate <n>",
      "batches of one update (default: 1)",
      integer(1).default(1),
    ),
    weightDecay: option(
      "--weight-decay <x>",
      "decoupled, on the chosen weights only (default: 0)",
      number({ min: 0 }).optional(),
    ),
    clip: option(
      "--clip <x>",
      "largest norm of the gradients, 0 for none (default: 1)",
      number({ min: 0 }).optional(),
    ),
    schedule: option(
      "--schedule <name>",
      "constant, linear or cosine (default: constant)",
      choice("constant", "linear", "cosine").default("constant"),
    ),
    warmup: option(
      "--warmup <n>",
      "updates over which the rate rises (default: 0)",
      integer(0).default(0),
    ),
    kvGroups: option(
      "--kv-groups",
      "with grouped queries: train the key/value groups too (changes their other heads)",
      flag().default(false),
    ),
    eos: option("--eos", "append the end token to every answer", flag().default(false)),
    checkpointEvery: option(
      "--checkpoint-every <n>",
      "updates between checkpoints (default: at the end and when interrupted)",
      integer(1).optional(),
    ),
    resume: option(
      "--resume <folder>",
      "continue from the checkpoint in this folder",
      text().optional(),
    ),
    seed,
    strict,
    force,
  },
  run(values, cli) {
    if (values.method === "lora") {
      throw new KeyheadsError(
        "USAGE",
        "--method lora is not available in this version; use precise, random or full",
      );
    }
    const read = { strict: values.strict };
    const checkpoints = values.resume ?? `${values.out}.tuning`;
    refuseExisting(values.out, values.force);
    if (values.resume === undefined && !values.force && existsSync(checkpoints)) {
      throw new KeyheadsError(
        "OUTPUT_EXISTS",
        `${checkpoints} holds the checkpoint of an interrupted run; continue it with --resume ${checkpoints}, or start anew with --force`,
      );
    }
    return withModel(values, cli, {
      async plan({ spec, tokenizer, files }) {
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const options = { select: await selection(values, { spec }), ...planned(values) };
        const { trainedParameters: trained } = planTuning({ spec, files }, options);
        const perUpdate = values.batch * values.accumulate;
        const updates =
          values.steps ?? (values.epochs ?? 1) * Math.ceil(set.items.length / perUpdate);
        const lengths = set.items.map((item) => item.promptIds.length + item.answerIds.length - 1);
        const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
        const tokens = Math.round(mean * Math.min(perUpdate, lengths.length));
        return [trainingStep(`${updates} updates`, spec, { tokens, updates, trained })];
      },
      async compute(model) {
        const select = await selection(values, model);
        const eosId = values.eos ? endToken(model) : undefined;
        const set = await loadItems(values.items, model, cli, {
          ...read,
          ...(eosId !== undefined && { eosId }),
        });
        const options: TuneOptions = {
          select,
          train: set.items,
          ...planned(values),
          ...optimiser(values),
          checkpointDir: checkpoints,
          resume: values.resume !== undefined,
          signal: cli.signal,
        };
        const result = await withEvents(cli, (onEvent) => tune(model, { ...options, onEvent }));
        const { slices } = planTuning(model, options);
        const { loss: _, ...manifest } = result;
        await saveModel(model, values.out, { slices, force: values.force, manifest });
        await rm(checkpoints, { recursive: true, force: true });
        const data = { items: { used: set.items.length, dropped: set.dropped }, ...result };
        return {
          data: { ...data, out: values.out },
          text: () => tuneText({ ...result, out: values.out }),
        };
      },
    });
  },
});

interface TuneValues extends ComponentValues {
  readonly method: "precise" | "full" | "random" | "lora";
  readonly kvGroups: boolean;
  readonly seed: number;
}

async function selection(values: TuneValues, { spec }: Pick<Model, "spec">) {
  if (values.method === "full") return { everything: true };
  const chosen = await chosenComponents(values, spec);
  return { ...chosen, keyValueGroups: values.kvGroups };
}

function planned({ method, seed }: TuneValues) {
  return { method, seed };
}

interface OptimiserValues {
  readonly epochs: number | undefined;
  readonly steps: number | undefined;
  readonly lr: number | undefined;
  readonly weightDecay: number | undefined;
  readonly clip: number | undefined;
  readonly checkpointEvery: number | undefined;
  readonly batch: number;
  readonly accumulate: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmup: number;
}

function optimiser(values: OptimiserValues) {
  const { epochs, steps, lr, weightDecay, clip, checkpointEvery, ...rest } = values;
  const { batch, accumulate, schedule, warmup } = rest;
  return {
    batch,
    accumulate,
    schedule,
    warmup,
    ...(epochs !== undefined && { epochs }),
    ...(steps !== undefined && { steps }),
    ...(lr !== undefined && { lr }),
    ...(weightDecay !== undefined && { weightDecay }),
    ...(clip !== undefined && { clip }),
    ...(checkpointEvery !== undefined && { checkpointEvery }),
  };
}

function endToken({ config, name }: Model): number {
  const [id] = endIds(config, `config.json of ${name}`);
  if (id !== undefined) return id;
  throw new KeyheadsError("USAGE", `--eos: the config.json of ${name} has no eos_token_id`);
}

/** Shows what tuning says on the way. */
async function withEvents<T>(
  cli: Cli,
  run: (onEvent: (event: TuneEvent) => void) => Promise<T>,
): Promise<T> {
  using progress = cli.progress("tune");
  return await run((event) => {
    if (event.type === "start") {
      const from = event.step > 0 ? `, from update ${event.step}` : "";
      cli.note(
        `training ${count(event.trainedParameters)} parameters on ${event.items} items${from}`,
      );
      if (event.sharedHeads.length > 0) {
        cli.note(
          `these heads share a key/value group and change too: ${event.sharedHeads.join(",")}`,
        );
      }
    }
    if (event.type === "step") progress.onProgress(event.step, event.steps);
    if (event.type === "checkpoint" && cli.signal.aborted) {
      cli.note(
        `update ${event.step} is saved; continue with --resume ${event.path.replace(/\/[^/]*$/, "")}`,
      );
    }
  });
}
