/** What heads' weights read and write on the task's prompts: QK and OV summaries by role. */
import { headCircuits } from "../../analysis/head-circuits.ts";
import { parseHeads } from "../../tuning/selection.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems, loadMeasured } from "../items.ts";
import {
  components,
  force,
  items,
  modelOptions,
  onlyCorrect,
  outFile,
  seed,
  strict,
} from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { ovText } from "../show/ov.ts";
import { integer } from "../values.ts";

export const command = defineCommand({
  name: "ov",
  summary: "what heads read and write by role: QK scores, copying, effect on the answer",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["ov ./my-model --items add.jsonl --heads 3.1,12.22"],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    heads: { ...components.heads, help: "heads, such as 3.1,12.22 (default: all)" },
    draws: option("--draws <n>", "bootstrap draws (default: 1000)", integer(1).optional()),
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
        return [forwardStep("runs, one a layer", spec, lengths, { runs: spec.layers })];
      },
      async compute(model) {
        const { heads, draws, seed } = values;
        const chosen = heads === undefined ? undefined : parseHeads(heads, model.spec);
        const { onlyCorrect } = values;
        const set = await loadMeasured(values.items, model, cli, { ...read, onlyCorrect });
        using progress = cli.progress("ov");
        const result = await headCircuits(model, set, {
          seed,
          ...(chosen && { heads: chosen }),
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => ovText(result) };
      },
    });
  },
});
