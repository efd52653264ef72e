/** Negative controls: path patching where it must find nothing. */
import { controls } from "../../validation/controls.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems } from "../items.ts";
import { force, items, modelOptions, outFile, seed, strict } from "../options.ts";
import { chainStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { fields, percent } from "../table.ts";
import { integer, number } from "../values.ts";

export const command = defineCommand({
  name: "controls",
  summary: "negative controls: an untrained model, and X_c = X_r, must give no key heads",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["controls ./my-model --items add.jsonl"],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    alpha: option(
      "--alpha <p>",
      "level of the max-T test (default: 0.05)",
      number({ above: 0, below: 1 }).default(0.05),
    ),
    minimumShare: option(
      "--minimum-share <x>",
      "least share of the total effect (default: 0.01)",
      number({ min: 0 }).default(0.01),
    ),
    draws: option("--draws <n>", "bootstrap draws (default: 1000)", integer(1).optional()),
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
        return ["X_c = X_r", "the untrained model"].map((what) =>
          chainStep(`END-row chain, ${what}`, spec, set.items.length),
        );
      },
      async compute(model) {
        const { alpha, minimumShare, draws, seed } = values;
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("controls");
        const result = await controls(model, set, {
          ...{ alpha, minimumShare, seed },
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        const { self, untrained, pass } = result;
        const size = self.largest.toExponential(1);
        const found = ({ keyHeads, keyMlps }: typeof self | typeof untrained) =>
          [...keyHeads, ...keyMlps.map((layer) => `mlp ${layer}`)].join(", ") || "none";
        return {
          data: result,
          exitCode: pass ? 0 : 5,
          text: () =>
            fields([
              ["X_c = X_r: key heads and MLPs", found(self)],
              ["  largest effect", self.largest === 0 ? "0" : `${size} at ${self.at}`],
              ["untrained: key heads and MLPs", found(untrained)],
              ["  smallest p", untrained.smallestP.toFixed(4)],
              ["  accuracy", percent(untrained.accuracy)],
              ["controls", pass ? "pass" : "FAIL"],
            ]),
        };
      },
    });
  },
});
