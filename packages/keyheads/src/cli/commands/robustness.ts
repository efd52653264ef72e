/** Key heads across effects, methods, ablations, counterfactuals and templates. */
import { robustness } from "../../validation/robustness.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems } from "../items.ts";
import { force, items, modelOptions, onlyCorrect, outFile, seed, strict } from "../options.ts";
import { chainStep, forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { robustnessText } from "../show/robustness.ts";
import { integer } from "../values.ts";

export const command = defineCommand({
  name: "robustness",
  summary: "key heads across effect, method, ablation, counterfactual and template",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["robustness ./my-model --items add.jsonl --top 10"],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    top: option(
      "--top <k>",
      "key heads of every row (default: as many as the base has, at least 3)",
      integer(1).optional(),
    ),
    onlyCorrect,
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const read = { single: true, strict: values.strict };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const lengths = set.items.map(({ reference }) => reference.length);
        const runs = 4 * spec.layers * spec.heads;
        return [
          chainStep("END-row chains, one a row of the table", spec, 8 * set.items.length),
          forwardStep(`${runs} runs with one head replaced`, spec, lengths, { runs }),
        ];
      },
      async compute(model) {
        const { top, onlyCorrect, seed } = values;
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("robustness");
        const result = await robustness(model, set, {
          ...{ onlyCorrect, seed },
          ...(top !== undefined && { top }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => robustnessText(result) };
      },
    });
  },
});
