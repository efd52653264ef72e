/** Logit lens, MLP cosines and direct logit attribution, layer by layer. */
import { lens } from "../../analysis/lens.ts";
import { defineCommand } from "../command.ts";
import { loadItems, loadMeasured } from "../items.ts";
import { force, items, modelOptions, onlyCorrect, outFile, seed, strict } from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { lensText } from "../show/lens.ts";

export const command = defineCommand({
  name: "lens",
  summary: "logit lens, MLP cosines and direct logit attribution by layer",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["lens ./my-model --items add.jsonl"],
  outFile: true,
  options: { ...modelOptions, items, onlyCorrect, seed, strict, out: outFile, force },
  run(values, cli) {
    const read = { single: true, strict: values.strict };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const { items } = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const lengths = items.map(({ reference }) => reference.length);
        const rows = lengths.length * (spec.layers + 1);
        return [forwardStep("runs with logits of every layer", spec, lengths, { rows })];
      },
      async compute(model) {
        const { onlyCorrect } = values;
        const set = await loadMeasured(values.items, model, cli, { ...read, onlyCorrect });
        using progress = cli.progress("lens");
        const result = await lens(model, set, {
          seed: values.seed,
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => lensText(result) };
      },
    });
  },
});
