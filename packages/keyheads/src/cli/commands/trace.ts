/** The circuit behind the answer: path patching into the logits, then into what acts on them. */
import { traceCircuit } from "../../attribution/paths/trace.ts";
import { writeWhole } from "../../run/write-whole.ts";
import { circuitJson } from "../../validation/circuit-file.ts";
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
import { refuseExisting } from "../output-file.ts";
import { chainStep, forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { traceText } from "../show/paths.ts";
import { graphOfTrace } from "../traced-graph.ts";
import { choice, choices, flag, integer, number, text } from "../values.ts";

export const command = defineCommand({
  name: "trace",
  summary: "the circuit behind the answer, by path patching back from the logits",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "trace ./my-model --items add.jsonl",
    "trace ./my-model --items add.jsonl --depth 2 --top 3 --save-circuit circuit.json",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    depth: option(
      "--depth <n>",
      "steps back; 1 finds only what acts on the logits (default: 3)",
      integer(1).default(3),
    ),
    top: option(
      "--top <k>",
      "senders kept for one receiver, at most (default: 5)",
      integer(1).default(5),
    ),
    minimumShare: option(
      "--minimum-share <x>",
      "least share of the total effect of what is kept (default: 0.05)",
      number({ min: 0 }).default(0.05),
    ),
    inputs: option(
      "--inputs <list>",
      "inputs of heads that are followed: q, k, v (default: all; q alone at END)",
      choices("q", "k", "v").optional(),
    ),
    senders: option(
      "--senders <list>",
      "heads, mlps or both (default: heads,mlps)",
      choices("heads", "mlps").default(["heads", "mlps"]),
    ),
    positions: option(
      "--positions <where>",
      "end or all: where senders and receivers are replaced (default: all where lengths allow it)",
      choice("end", "all").optional(),
    ),
    effect: option(
      "--effect <name>",
      "default: logit-difference where items have a counterfactual answer, else logprob",
      choice("logit-difference", "logprob", "logit", "prob").optional(),
    ),
    counterfactual: option(
      "--counterfactual <kind>",
      "own or random-other (another prompt of the set)",
      choice("own", "random-other").default("own"),
    ),
    mlpPath: option(
      "--mlp-path <mode>",
      "recompute or freeze MLPs between sender and receiver (default: recompute)",
      choice("recompute", "freeze").default("recompute"),
    ),
    wholeGroups: option(
      "--whole-groups",
      "grouped queries: k and v receivers are whole groups, not one head's copy",
      flag().default(false),
    ),
    saveCircuit: option(
      "--save-circuit <file>",
      "also write it in the layout of EAP-IG and MIB",
      text().optional(),
    ),
    draws: option("--draws <n>", "bootstrap draws (default: 1000)", integer(1).optional()),
    onlyCorrect,
    split,
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const { saveCircuit, strict, split } = values;
    if (saveCircuit !== undefined) refuseExisting(saveCircuit, values.force);
    const read = { single: true, strict, split };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const { items } = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const lengths = items.map(({ reference }) => reference.length);
        // At most: every node with all of its inputs, each with all senders.
        const receivers = 3 * values.top * (values.depth - 1);
        const runs = 2 * receivers * spec.layers * (spec.heads + 1);
        return [
          chainStep("END-row chain", spec, items.length),
          forwardStep(`at most ${runs} patched runs`, spec, lengths, { runs }),
        ];
      },
      async compute(model) {
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("trace");
        const { depth, top, minimumShare, senders, mlpPath, wholeGroups } = values;
        const { inputs, positions, effect, draws, counterfactual, onlyCorrect, seed } = values;
        const result = await traceCircuit(model, set, {
          ...{ depth, top, minimumShare, senders, mlpPath, wholeGroups },
          ...{ counterfactual, onlyCorrect, seed },
          ...(inputs !== undefined && { inputs }),
          ...(positions !== undefined && { at: positions }),
          ...(effect !== undefined && { effect }),
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        if (saveCircuit !== undefined) {
          await writeWhole(saveCircuit, circuitJson(graphOfTrace(result, model.spec)));
          cli.note(`circuit written to ${saveCircuit}`);
        }
        return { data: result, text: () => traceText(result) };
      },
    });
  },
});
