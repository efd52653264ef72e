/** Key heads of several tasks: overlap, and each task without the others' heads. */
import type { Model } from "../../model.ts";
import type { ItemSet } from "../../tasks/items.ts";
import { byLabel, labels } from "../../tasks/label.ts";
import { type TransferEntry, transfer } from "../../validation/transfer.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems } from "../items.ts";
import { keyOptions, toKeyOptions } from "../key-options.ts";
import {
  ablation,
  draws,
  force,
  modelOptions,
  onlyCorrect,
  outFile,
  positions,
  seed,
  strict,
} from "../options.ts";
import { chainStep, forwardStep } from "../plan.ts";
import { loadModel, withModel } from "../session.ts";
import { transferText } from "../show/transfer.ts";
import { choice, flag, texts } from "../values.ts";

export const command = defineCommand({
  name: "transfer",
  summary: "key heads across tasks: overlap, and knock-out of one on the other",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "transfer ./my-model --items add.jsonl --items sub.jsonl --top 10",
    "transfer ./my-model --items all.jsonl --by template",
    "transfer ./my-model --items ranges.jsonl --by group    # of items --operands 0-9,10-39",
    "transfer ./my-model --items add.jsonl --also ./tuned",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items: option("--items <file...>", "items files, each a task", texts("items files")),
    by: option(
      "--by <label>",
      `divide items further by their ${labels.join(", ")}`,
      choice(...labels).optional(),
    ),
    also: option(
      "--also <model...>",
      "more models of the same shape, asked the same",
      texts("models").default([]),
    ),
    ...keyOptions,
    ablation,
    positions,
    ...draws,
    sameItems: option(
      "--same-items",
      "find and test on the same items, not on parts without a common cluster",
      flag().default(false),
    ),
    onlyCorrect,
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const keys = toKeyOptions(values);
    const { ablation, positions, random, layerMatched, sameItems, onlyCorrect, seed } = values;
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const steps = [];
        for (const file of values.items) {
          const { items } = await loadItems(file, { spec, tokenizer }, cli, { single: true });
          const lengths = items.map(({ reference }) => reference.length);
          const runs = values.items.length + random;
          steps.push(chainStep(`END-row chain of ${file}`, spec, items.length));
          steps.push(forwardStep(`${runs} runs of ${file}`, spec, lengths, { runs }));
        }
        return steps;
      },
      async compute(model) {
        const models = [model];
        try {
          for (const name of values.also)
            models.push(await loadModel(name, { ...values, delta: undefined }, cli));
          const entries = await readEntries(models, values, cli);
          using progress = cli.progress("transfer");
          const result = await transfer(entries, {
            ...keys,
            ...{ ablation, positions, random, layerMatched, sameItems, onlyCorrect, seed },
            signal: cli.signal,
            onProgress: progress.onProgress,
          });
          return { data: result, text: () => transferText(result) };
        } finally {
          for (const also of models.slice(1)) also.dispose();
        }
      },
    });
  },
});

async function readEntries(
  models: readonly Model[],
  {
    items,
    by,
    strict,
  }: { items: string[]; by: (typeof labels)[number] | undefined; strict: boolean },
  cli: Cli,
): Promise<TransferEntry[]> {
  const entries: TransferEntry[] = [];
  for (const model of models) {
    for (const file of items) {
      const read = await loadItems(file, model, cli, { single: true, strict });
      for (const set of by === undefined ? [read] : byLabel(read, by)) {
        const name = nameOf(set, read, { many: items.length > 1 && by !== undefined });
        const prefix = models.length > 1 ? `${model.name}: ` : "";
        entries.push({ model, set: { ...set, name: `${prefix}${name}` } });
      }
    }
  }
  return entries;
}

function nameOf(set: ItemSet, file: ItemSet, { many }: { many: boolean }): string {
  return many ? `${file.name} ${set.name}` : set.name;
}
