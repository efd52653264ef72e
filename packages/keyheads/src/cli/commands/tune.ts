/** Trains only the chosen heads and MLPs and saves the model as a Hugging Face folder. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import { checkSaved } from "../../save/check-saved.ts";
import type { PieceChange } from "../../save/isolation.ts";
import { saveModel } from "../../save/save-model.ts";
import { checkpointPath } from "../../tuning/checkpoint.ts";
import { metricsFiles } from "../../tuning/metrics.ts";
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
import { trainingOptions, trainingProgress, trainingValues } from "../training.ts";
import { choice, flag, text } from "../values.ts";

/** Prompts of which the saved folder must give the same logits. */
const probeItems = 4;

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
    ...trainingOptions,
    kvGroups: option(
      "--kv-groups",
      "with grouped queries: train the key/value groups too (changes their other heads)",
      flag().default(false),
    ),
    eos: option("--eos", "append the end token to every answer", flag().default(false)),
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
    const interrupted = existsSync(checkpointPath(checkpoints));
    if (values.resume === undefined && !values.force && interrupted) {
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
        const validation =
          values.eval === undefined ? undefined : await loadItems(values.eval, model, cli, read);
        const options: TuneOptions = {
          select,
          train: set.items,
          ...(validation && { validation: validation.items }),
          ...planned(values),
          ...trainingValues(values),
          checkpointDir: checkpoints,
          resume: values.resume !== undefined,
          signal: cli.signal,
        };
        let pieces: readonly PieceChange[] = [];
        using training = trainingProgress(cli, "tune");
        const result = await tune(model, {
          ...options,
          onEvent(event) {
            announce(cli, event);
            training.onEvent(event);
            if (event.type === "isolation") pieces = event.pieces;
          },
        });
        const { slices } = planTuning(model, options);
        const { loss: _, ...summary } = result;
        const { folder } = await saveModel(model, values.out, {
          slices,
          force: values.force,
          manifest: { ...summary, slices: pieces },
          files: Object.values(metricsFiles).map((name) => join(checkpoints, name)),
        });
        const probes = set.items.slice(0, probeItems).map(({ promptIds }) => promptIds);
        const { maxAbs } = await checkSaved(model, folder, { slices, probes });
        await rm(checkpoints, { recursive: true, force: true });
        const data = {
          items: { used: set.items.length, dropped: set.dropped },
          ...result,
          saved: { probes: probes.length, maxAbs },
        };
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

function endToken({ config, name }: Model): number {
  const [id] = endIds(config, `config.json of ${name}`);
  if (id !== undefined) return id;
  throw new KeyheadsError("USAGE", `--eos: the config.json of ${name} has no eos_token_id`);
}

/** Shows what tuning says on the way. */
function announce(cli: Cli, event: TuneEvent): void {
  if (event.type !== "start") return;
  const from = event.step > 0 ? `, from update ${event.step}` : "";
  cli.note(`training ${count(event.trainedParameters)} parameters on ${event.items} items${from}`);
  if (event.sharedHeads.length > 0) {
    cli.note(`these heads share a key/value group and change too: ${event.sharedHeads.join(",")}`);
  }
}
