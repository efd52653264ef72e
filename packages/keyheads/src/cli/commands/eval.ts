/** Accuracy and log-probability of answers, with intervals and a paired test against a baseline. */
import { evaluate } from "../../evaluation/evaluate.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems } from "../items.ts";
import { force, items, modelOptions, outFile, seed, strict } from "../options.ts";
import { forwardStep } from "../plan.ts";
import { loadModel, withModel } from "../session.ts";
import { evalText } from "../show/eval.ts";
import { choice, integer, text } from "../values.ts";

export const command = defineCommand({
  name: "eval",
  summary: "accuracy and log-probability, with a paired test against a baseline",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["eval ./tuned --items test.jsonl --baseline ./my-model"],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    baseline: option("--baseline <model>", "compare with this model in pairs", text().optional()),
    mode: option(
      "--mode <name>",
      "teacher (forced), generate (greedy) or choice (default: teacher)",
      choice("teacher", "generate", "choice").default("teacher"),
    ),
    draws: option("--draws <n>", "bootstrap draws (default: 1000)", integer(1).optional()),
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const { mode, baseline, draws, seed, strict } = values;
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const { items } = await loadItems(values.items, { spec, tokenizer }, cli, { strict });
        const lengths = items.map((item) => item.promptIds.length + item.answerIds.length - 1);
        const rows = items.reduce((sum, item) => sum + item.answerIds.length, 0);
        const what = baseline === undefined ? "runs" : "runs of both models";
        return [forwardStep(what, spec, lengths, { rows, runs: baseline === undefined ? 1 : 2 })];
      },
      async compute(model) {
        const set = await loadItems(values.items, model, cli, { strict });
        using other =
          baseline === undefined
            ? undefined
            : await loadModel(baseline, { ...values, delta: undefined }, cli);
        using progress = cli.progress("eval");
        const result = await evaluate(model, set, {
          mode,
          seed,
          ...(other && { baseline: other }),
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => evalText(result, baseline) };
      },
    });
  },
});
