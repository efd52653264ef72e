/** Accuracy as heads and MLPs are removed one after the other, beside random heads and a control. */
import type { Model } from "../../model.ts";
import { knockOut } from "../../validation/knock-out.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { chosenComponents, sharedClusters } from "../components.ts";
import { keepCorrect, loadControl, loadItems } from "../items.ts";
import {
  ablation,
  components,
  draws,
  force,
  items,
  meanOver,
  modelOptions,
  onlyCorrect,
  outFile,
  positions,
  seed,
  split,
  strict,
} from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { knockoutText } from "../show/knockout.ts";
import { text } from "../values.ts";

export const command = defineCommand({
  name: "knockout",
  summary: "accuracy as heads are removed, beside random heads and a control",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "knockout ./my-model --items test.jsonl --heads 3.1,12.22 --control other.jsonl",
    "knockout ./my-model --items test.jsonl --from identify.json --top 10",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    ...components,
    ablation,
    positions,
    meanOver,
    ...draws,
    control: option(
      "--control <file>",
      "items that should survive, or a .txt file: next-token accuracy",
      text().optional(),
    ),
    onlyCorrect,
    split,
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const { strict, split } = values;
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const { heads, mlps } = await chosenComponents(values, spec);
        const { items } = await loadItems(values.items, { spec, tokenizer }, cli, {
          strict,
          split,
        });
        const lengths = items.map((item) => item.promptIds.length + item.answerIds.length - 1);
        const sizes = heads.length + mlps.length;
        const runs = 2 + sizes + values.random * heads.length;
        return [forwardStep(`${runs} runs (twice that with a control)`, spec, lengths, { runs })];
      },
      async compute(model) {
        const chosen = await chosenComponents(values, model.spec);
        const sets = await readSets(model, values, cli);
        const shared = await sharedClusters(values.from, sets.items.items, split);
        if (shared > 0) {
          cli.note(
            `${shared} clusters were used to find these heads too; --split keeps them apart`,
          );
        }
        using progress = cli.progress("knockout");
        const { ablation, positions, random, layerMatched, seed } = values;
        const result = await knockOut(model, sets.items, {
          ...chosen,
          ablation,
          positions,
          random,
          layerMatched,
          seed,
          ...(sets.meanOver && { meanOver: sets.meanOver }),
          ...(sets.control && { control: sets.control }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return {
          data: { ...result, sharedClusters: shared },
          text: () => knockoutText(result),
        };
      },
    });
  },
});

interface SetValues {
  readonly items: string;
  readonly meanOver: string | undefined;
  readonly control: string | undefined;
  readonly onlyCorrect: boolean;
  readonly split: string | undefined;
  readonly strict: boolean;
  readonly seed: number;
}

async function readSets(model: Model, values: SetValues, cli: Cli) {
  const { meanOver, control, strict, split, seed } = values;
  const all = await loadItems(values.items, model, cli, { strict, split });
  return {
    items: values.onlyCorrect ? await keepCorrect(model, all, cli) : all,
    meanOver:
      meanOver === undefined ? undefined : await loadItems(meanOver, model, cli, { strict }),
    control:
      control === undefined ? undefined : await loadControl(control, model, cli, { strict, seed }),
  };
}
