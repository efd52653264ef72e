/** Ways of tuning on one budget: what each is worth and what it costs. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { textFile } from "@keyheads/models";
import { KeyheadsError } from "../../errors.ts";
import { textChunks } from "../../evaluation/text.ts";
import type { Model } from "../../model.ts";
import type { Item } from "../../tasks/items.ts";
import { comparedMethods, comparedRuns } from "../../tuning/compare-methods.ts";
import { type CompareEvent, compareTuning, type NamedItems } from "../../tuning/compare-tuning.ts";
import { matchGain } from "../../tuning/match-gain.ts";
import type { MatchedGainEvent } from "../../tuning/matched-gain.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { chosenComponents } from "../components.ts";
import { loadControl, loadItems } from "../items.ts";
import { components, force, items, modelOptions, outFile, seed, strict } from "../options.ts";
import { trainingStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { compareText } from "../show/compare-tuning.ts";
import { percent } from "../table.ts";
import { choices, flag, integer, number, numbers, text, texts } from "../values.ts";

/** Predicted tokens of the neutral text. */
const textTokens = 512;
const bundledText = "tom-sawyer.txt";
/** Of the comparison at matched gain, for the plan: runs of one rate each, and updates of a run. */
const gainRuns = 30;
const mostGainUpdates = 40;

export const command = defineCommand({
  name: "compare-tuning",
  summary: "ways of tuning on one budget: what each is worth and what it costs",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "compare-tuning ./my-model --items train.jsonl --test test.jsonl --from identify.json --top 8 --steps 40",
    "compare-tuning ./my-model --items add.jsonl --test add-test.jsonl --heads 3.1,4.0 --also sub.jsonl --gain 5",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    ...components,
    test: option("--test <file>", "items of the task that are not trained on", text()),
    dev: option(
      "--dev <file>",
      "items that choose learning rates (default: a fifth of --items)",
      text().optional(),
    ),
    also: option(
      "--also <file...>",
      "neighbouring tasks and controls: items files, or .txt",
      texts("items files").default([]),
    ),
    text: option(
      "--text <file>",
      "neutral text for loss and KL (default: a bundled English text, where the tokenizer can spell it)",
      text().optional(),
    ),
    methods: option(
      "--methods <list>",
      `of ${comparedMethods.join(", ")} (default: all)`,
      choices(...comparedMethods).default([...comparedMethods]),
    ),
    draws: option("--draws <n>", "sets of random heads (default: 5)", integer(1).default(5)),
    steps: option("--steps <n>", "updates of every method (default: 20)", integer(1).default(20)),
    batch: option("--batch <n>", "items of an update (default: 16)", integer(1).default(16)),
    lrs: option(
      "--lrs <list>",
      "learning rates tried for every method (default: 3e-5,1e-4,3e-4,1e-3)",
      numbers({ above: 0 }).default([3e-5, 1e-4, 3e-4, 1e-3]),
    ),
    rank: option("--rank <n>", "of LoRA (default: 8)", integer(1).default(8)),
    kvGroups: option(
      "--kv-groups",
      "with grouped queries: train the key/value groups too",
      flag().default(false),
    ),
    patch: option("--patch", "path patching again after every method", flag().default(false)),
    gain: option(
      "--gain <points>",
      "also compare at this gain on the task, and give the verdict (needs --also)",
      number({ above: 0 }).optional(),
    ),
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    if (values.gain !== undefined && values.also.length === 0) {
      throw new KeyheadsError(
        "USAGE",
        "--gain weighs the gain against what is lost elsewhere: name other items with --also",
      );
    }
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const read = { strict: values.strict, needsLabels: true };
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const lengths = set.items.map((item) => item.promptIds.length + item.answerIds.length - 1);
        const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
        const { methods, draws, lrs, gain, steps } = values;
        const random = methods.includes("random") ? draws - 1 : 0;
        const updates = steps * (methods.length + random) * lrs.length;
        const tokens = Math.round(mean * values.batch);
        const plain = trainingStep(`${updates} updates`, spec, { tokens, updates, trained: 0 });
        if (gain === undefined) return [plain];
        const most = gainRuns * mostGainUpdates;
        const matched = { tokens, updates: most, trained: 0 };
        return [plain, trainingStep(`at most ${most} updates to the gain`, spec, matched)];
      },
      async compute(model) {
        const { heads } = await chosenComponents(values, model.spec);
        const { draws, methods, rank, seed, steps, batch, lrs: learningRates, gain } = values;
        const lora = { rank, alpha: 2 * rank };
        const choice = { heads, methods, draws, seed, keyValueGroups: values.kvGroups, lora };
        const runs = comparedRuns(model, choice);
        const sets = await readSets(model, values, cli);
        const common = { ...sets, learningRates, batch, seed, signal: cli.signal };
        using progress = cli.progress("compare");
        const { onProgress } = progress;
        const result = await compareTuning(model, {
          ...common,
          ...(values.patch && { patch: await patchItems(model, values, cli) }),
          runs,
          steps,
          onProgress,
          onEvent: (event) => announce(cli, event),
        });
        if (gain === undefined) return { data: result, text: () => compareText(result) };
        const effects = result.before.direct;
        const matched = await matchGain(model, {
          ...{ ...common, heads, gain, effects, onProgress },
          onEvent: (event) => announceGain(cli, event),
        });
        const data = { ...result, matched };
        return { data, text: () => compareText(data) };
      },
    });
  },
});

function announce(cli: Cli, event: CompareEvent): void {
  if (event.type !== "run") return;
  const { name, lr, task } = event.result;
  cli.note(`${name}: accuracy ${percent(task.accuracy)} at learning rate ${lr}`);
}

function announceGain(cli: Cli, event: MatchedGainEvent): void {
  if (event.type !== "method") return;
  const { title, replay, updates } = event.result;
  const reached = updates === null ? "gain not reached" : `gain reached in ${updates} updates`;
  cli.note(`${title}${replay ? ", with replay" : ""}: ${reached}`);
}

interface SetValues {
  readonly items: string;
  readonly dev: string | undefined;
  readonly test: string;
  readonly also: readonly string[];
  readonly text: string | undefined;
  readonly seed: number;
  readonly strict: boolean;
}

async function readSets(model: Model, values: SetValues, cli: Cli) {
  const { strict, seed } = values;
  const all = await loadItems(values.items, model, cli, { strict, needsLabels: true });
  const held = (i: number) => i % 5 === 4;
  const dev =
    values.dev === undefined
      ? all.items.filter((_, i) => held(i))
      : (await loadItems(values.dev, model, cli, { strict })).items;
  const train = values.dev === undefined ? all.items.filter((_, i) => !held(i)) : all.items;
  const test = (await loadItems(values.test, model, cli, { strict })).items;
  noteShared(cli, train, test);
  const others: NamedItems[] = [];
  for (const file of values.also) {
    const { items } = await loadControl(file, model, cli, { strict, seed });
    others.push({ name: basename(file), items });
  }
  const text = await neutralText(model, values.text, cli);
  return { train, dev, test, others, ...(text && { text }) };
}

/** What is tested should not have been trained on. */
function noteShared(cli: Cli, train: readonly Item[], test: readonly Item[]): void {
  const seen = new Set(train.map(({ promptIds }) => promptIds.join()));
  const shared = test.filter(({ promptIds }) => seen.has(promptIds.join())).length;
  if (shared > 0) cli.note(`${shared} of ${test.length} test items are among the trained ones`);
}

async function patchItems(model: Model, { test, strict }: SetValues, cli: Cli) {
  const { items } = await loadItems(test, model, cli, { strict, single: true });
  const paired = items.filter((item) => item.counterfactual !== undefined);
  if (paired.length > 0) return paired;
  throw new KeyheadsError("BAD_ITEMS", `--patch: ${test} has no item with a counterfactual`);
}

async function neutralText(model: Model, file: string | undefined, cli: Cli) {
  if (file === undefined && !model.tokenizer) return undefined;
  try {
    const text = await readFile(file ?? textFile(bundledText), "utf8");
    return textChunks(model, text, { maxTokens: textTokens });
  } catch (cause) {
    const unspelt = cause instanceof KeyheadsError && cause.code === "UNKNOWN_TOKEN";
    if (file !== undefined || !unspelt) throw cause;
    cli.note("the tokenizer cannot spell the bundled text: no loss and KL on text; give --text");
    return undefined;
  }
}
