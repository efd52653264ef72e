/** Direct logit attribution: what every head, MLP and single neurons add to the answer's logit. */
import { contributions } from "../../analysis/contributions.ts";
import { parseMlps } from "../../tuning/selection.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems, loadMeasured } from "../items.ts";
import { force, items, modelOptions, onlyCorrect, outFile, seed, strict } from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { contributionsText } from "../show/contributions.ts";
import { integer, list } from "../values.ts";

export const command = defineCommand({
  name: "contributions",
  summary: "what heads, MLPs and neurons add directly to the answer's logit",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["contributions ./my-model --items add.jsonl --neurons 10"],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    neurons: option(
      "--neurons <n>",
      "neurons listed, with the tokens they promote (default: 20; 0: none)",
      integer(0).default(20),
    ),
    layers: option(
      "--layers <list>",
      "layers whose neurons are looked at, such as 17,20 (default: all)",
      list("layers such as 17,20").optional(),
    ),
    tokens: option("--tokens <n>", "tokens listed a neuron (default: 5)", integer(1).default(5)),
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
        const runs = 1 + (values.neurons > 0 ? spec.layers : 0);
        return [forwardStep(`${runs} runs`, spec, lengths, { runs })];
      },
      async compute(model) {
        const { neurons, layers, tokens, draws, seed } = values;
        const chosen = layers === undefined ? undefined : parseMlps(layers, model.spec);
        const { onlyCorrect } = values;
        const set = await loadMeasured(values.items, model, cli, { ...read, onlyCorrect });
        using progress = cli.progress("contributions");
        const result = await contributions(model, set, {
          ...{ neurons, tokens, seed },
          ...(chosen && { layers: chosen }),
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => contributionsText(result) };
      },
    });
  },
});
