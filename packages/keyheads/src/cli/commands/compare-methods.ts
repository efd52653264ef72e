/** Every approximation of effects against the exact answer that it stands for, on the same items. */
import { compareMethods } from "../../attribution/compare-methods.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems } from "../items.ts";
import {
  force,
  items,
  modelOptions,
  onlyCorrect,
  outFile,
  seed,
  split,
  strict,
} from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { compareMethodsText } from "../show/compare-methods.ts";
import { choice, flag, integer } from "../values.ts";

export const command = defineCommand({
  name: "compare-methods",
  summary: "approximations of effects against their exact answers",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "compare-methods ./my-model --items add.jsonl",
    "compare-methods ./my-model --items add.jsonl --top 20 --skip-edges --json",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    effect: option(
      "--effect <name>",
      "default: logit-difference where items have a counterfactual answer, else logprob",
      choice(
        ...(["logit-difference", "logprob", "logit", "prob", "relative-logit", "ie"] as const),
      ).optional(),
    ),
    top: option(
      "--top <k>",
      "how many of the strongest count (default: 10)",
      integer(1).default(10),
    ),
    steps: option("--steps <n>", "points of eap-ig (default: 5)", integer(1).default(5)),
    edges: option(
      "--edges",
      "exact edges however many runs they take (default: up to 20,000)",
      flag().optional(),
    ),
    skipEdges: option("--skip-edges", "no edges", flag().default(false)),
    skipCircuits: option(
      "--skip-circuits",
      "no circuits of the first senders (CPR, CMD)",
      flag().default(false),
    ),
    draws: option("--draws <n>", "bootstrap draws (default: 200)", integer(1).optional()),
    onlyCorrect,
    split,
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const read = { single: true, strict: values.strict, split: values.split };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const lengths = set.items.map(({ reference }) => reference.length);
        const senders = spec.layers * (spec.heads + 1);
        const runs = 3 * senders;
        return [forwardStep(`${runs} patched runs, without edges`, spec, lengths, { runs })];
      },
      async compute(model) {
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("compare-methods");
        const { effect, top, steps, draws, seed, onlyCorrect } = values;
        const edges = values.skipEdges ? false : values.edges;
        const result = await compareMethods(model, set, {
          ...{ top, steps, seed, onlyCorrect, circuits: !values.skipCircuits },
          ...(effect !== undefined && { effect }),
          ...(edges !== undefined && { edges }),
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => compareMethodsText(result) };
      },
    });
  },
});
