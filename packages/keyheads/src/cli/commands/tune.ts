/** Trains only the chosen heads and MLPs and saves the model as a Hugging Face folder. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import type { PieceChange } from "../../save/isolation.ts";
import { maskView } from "../../tasks/formats.ts";
import type { Item } from "../../tasks/items.ts";
import { modulesOf } from "../../tuning/added.ts";
import { checkpointPath } from "../../tuning/checkpoint.ts";
import type { TuneEvent, TuneOptions } from "../../tuning/options.ts";
import { planTuning, tuningMethods } from "../../tuning/plan.ts";
import { readSelection } from "../../tuning/read-selection.ts";
import { parseLayers, parseMatrices, type Selection } from "../../tuning/selection.ts";
import type { SlotOwner } from "../../tuning/slots.ts";
import { tune } from "../../tuning/tune.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { type ComponentValues, chosenComponents } from "../components.ts";
import { loadItems } from "../items.ts";
import { components, force, items, modelOptions, seed, strict } from "../options.ts";
import { trainingStep } from "../plan.ts";
import { checkHolds, checkTargets, saveTuned } from "../save-tuned.ts";
import { withModel } from "../session.ts";
import { tuneText } from "../show/tune.ts";
import { endIds } from "../stop-ids.ts";
import { count } from "../table.ts";
import { trainingOptions, trainingProgress, trainingValues } from "../training.ts";
import { bytes, choice, flag, integer, list, number, text } from "../values.ts";

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
    layers: option(
      "--layers <list>",
      "all of attention and MLP in these layers, such as 4-6,9",
      list("layers such as 4-6,9").optional(),
    ),
    matrices: option(
      "--matrices <list>",
      "single weights, such as wq.3,wUp.7, or tensors of the file",
      list("weights such as wq.3,wUp.7").optional(),
    ),
    randomHeads: option(
      "--random-heads <n>",
      "so many heads drawn from the others, with --seed",
      integer(1).optional(),
    ),
    select: option(
      "--select <file>",
      "a JSON file with what these options name (docs/tuning.md)",
      text().optional(),
    ),
    out: option("--out <folder>", "where the tuned model goes", text().optional()),
    saveDelta: option(
      "--save-delta <file>",
      "also write the trained slices alone (`--delta` and `merge` take them)",
      text().optional(),
    ),
    method: option(
      "--method <name>",
      "precise (the chosen heads), random (as many others of the same layers), full, lora (on what is chosen, else on attention) or offsets (of the chosen heads)",
      choice(...tuningMethods).default("precise"),
    ),
    ...trainingOptions,
    modules: option(
      "--modules <list>",
      "with --method lora: these matrices of every layer, such as wq,wv",
      list("matrices such as wq,wv").optional(),
    ),
    rank: option("--rank <n>", "of LoRA's factors (default: 8)", integer(1).optional()),
    alpha: option(
      "--alpha <x>",
      "LoRA's factors are multiplied by alpha / rank (default: 16)",
      number({ above: 0 }).optional(),
    ),
    kvGroups: option(
      "--kv-groups",
      "with grouped queries: train the key/value groups too (changes their other heads)",
      flag().default(false),
    ),
    gradientScale: option(
      "--gradient-scale <name>",
      "heads: gradients times all heads / chosen heads (default: none)",
      choice("none", "heads").default("none"),
    ),
    prefixMemory: option(
      "--prefix-memory <bytes>",
      "memory to keep what the layers below the trained ones compute, 0 for none (default: 1GiB)",
      bytes({ zero: true }).optional(),
    ),
    prefixDisk: option(
      "--prefix-disk <bytes>",
      "and disk, in the temporary folder (default: none)",
      bytes({ zero: true }).optional(),
    ),
    eos: option("--eos", "append the end token to every answer", flag().default(false)),
    seed,
    strict,
    force,
  },
  run(values, cli) {
    const read = { strict: values.strict, needsLabels: true };
    const fresh = checkTargets(values);
    const checkpoints = values.resume ?? fresh;
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
        const options = { select: await selection(values, { spec, files }), ...planned(values) };
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
        checkHolds(model, values);
        const select = await selection(values, model);
        const eosId = values.eos ? endToken(model) : undefined;
        const set = await loadItems(values.items, model, cli, {
          ...read,
          ...(eosId !== undefined && { eosId }),
        });
        const first = set.items[0] as Item;
        cli.note(`first item: ${maskView(first.promptIds, first.answerIds, model.tokenizer)}`);
        const validation =
          values.eval === undefined ? undefined : await loadItems(values.eval, model, cli, read);
        const options: TuneOptions = {
          select,
          train: set.items,
          ...(validation && { validation: validation.items }),
          ...planned(values),
          ...trainingValues(values),
          gradientScale: values.gradientScale,
          prefixCache: {
            ...(values.prefixMemory !== undefined && { memory: values.prefixMemory }),
            ...(values.prefixDisk !== undefined && { disk: values.prefixDisk }),
          },
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
        const plan = planTuning(model, options);
        const tuned = { plan, result, pieces, items: set.items, folder: checkpoints };
        const kept = await saveTuned(model, tuned, values);
        await rm(checkpoints, { recursive: true, force: true });
        const data = {
          items: { used: set.items.length, dropped: set.dropped },
          ...result,
          ...kept,
        };
        return {
          data,
          text: () => tuneText(data),
        };
      },
    });
  },
});

interface TuneValues extends ComponentValues {
  readonly method: (typeof tuningMethods)[number];
  readonly modules: string | undefined;
  readonly rank: number | undefined;
  readonly alpha: number | undefined;
  readonly kvGroups: boolean;
  readonly layers: string | undefined;
  readonly matrices: string | undefined;
  readonly randomHeads: number | undefined;
  readonly select: string | undefined;
  readonly seed: number;
}

async function selection(values: TuneValues, model: SlotOwner): Promise<Selection> {
  const { spec } = model;
  if (values.method === "full") return { everything: true };
  const { modules } = values;
  if (modules !== undefined && values.method !== "lora") {
    throw new KeyheadsError("USAGE", "--modules belongs to --method lora");
  }
  if (modules !== undefined) return { matrices: modulesOf(model, modules.split(",")) };
  const { heads, mlps, from, layers, matrices, randomHeads, select, seed } = values;
  const file = select === undefined ? {} : await readSelection(select);
  const named = [heads, mlps, from].some((given) => given !== undefined);
  const others = [layers, matrices, randomHeads, select].some((given) => given !== undefined);
  if (values.method === "lora" && !named && !others) return {};
  const chosen = named || !others ? await chosenComponents(values, spec) : { heads: [], mlps: [] };
  return {
    ...file,
    heads: [...(file.heads ?? []), ...chosen.heads],
    mlps: [...(file.mlps ?? []), ...chosen.mlps],
    layers: [...(file.layers ?? []), ...(layers === undefined ? [] : parseLayers(layers, spec))],
    matrices: [
      ...(file.matrices ?? []),
      ...(matrices === undefined ? [] : parseMatrices(matrices)),
    ],
    ...(randomHeads !== undefined && { randomHeads: { count: randomHeads, seed } }),
    keyValueGroups: values.kvGroups || (file.keyValueGroups ?? false),
  };
}

function planned({ method, seed, rank, alpha }: TuneValues) {
  const lora = { ...(rank !== undefined && { rank }), ...(alpha !== undefined && { alpha }) };
  return { method, seed, lora };
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
