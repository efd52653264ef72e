/** Effect of every head and MLP on the answer: path patching, or activation patching. */

import type { ModelSpec } from "@keyheads/native";
import { identify } from "../../attribution/identify.ts";
import type { SenderKind } from "../../attribution/options.ts";
import { KeyheadsError } from "../../errors.ts";
import type { ItemSet } from "../../tasks/items.ts";
import { defineCommand, option } from "../command.ts";
import { loadItems } from "../items.ts";
import { keyOptions, toKeyOptions } from "../key-options.ts";
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
import { chainStep, forwardStep, type Step } from "../plan.ts";
import { withModel } from "../session.ts";
import { identifyText } from "../show/identify.ts";
import { choice, integer, list } from "../values.ts";

const methods = ["exact", "naive", "activation"] as const;

export const command = defineCommand({
  name: "identify",
  summary: "effect of every head and MLP on the answer",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "identify ./my-model --items add.jsonl",
    "identify ./my-model --items add.jsonl --method activation --positions all --json",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    method: option(
      "--method <name>",
      `${methods.join(", ")}: path patching, its slow twin, or activation patching (default: exact)`,
      choice(...methods).default("exact"),
    ),
    positions: option(
      "--positions <where>",
      "end or all (activation only): where a sender is replaced (default: end)",
      choice("end", "all").default("end"),
    ),
    effect: option(
      "--effect <name>",
      "default: logit-difference where items have a counterfactual answer, else logprob",
      choice(
        ...(["logit-difference", "logprob", "logit", "prob", "relative-logit", "ie"] as const),
        "normalised",
      ).optional(),
    ),
    mlpPath: option(
      "--mlp-path <mode>",
      "recompute or freeze MLPs after the sender (default: recompute)",
      choice("recompute", "freeze").default("recompute"),
    ),
    senders: option(
      "--senders <list>",
      "heads, mlps or both (default: heads,mlps)",
      list("heads, mlps or heads,mlps").optional(),
    ),
    counterfactual: option(
      "--counterfactual <kind>",
      "own, random-other (another prompt of the set) or self (negative control)",
      choice("own", "random-other", "self").default("own"),
    ),
    ...keyOptions,
    draws: option("--draws <n>", "bootstrap draws (default: 1000)", integer(1).optional()),
    onlyCorrect,
    split,
    seed,
    strict,
    out: outFile,
    force,
  },
  run(values, cli) {
    const senders = toSenders(values.senders);
    const keys = toKeyOptions(values);
    const read = { single: true, strict: values.strict, split: values.split };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        return plan(values.method, spec, set);
      },
      async compute(model) {
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("identify");
        const { effect, draws } = values;
        const result = await identify(model, set, {
          method: values.method,
          positions: values.positions,
          mlpPath: values.mlpPath,
          counterfactual: values.counterfactual,
          onlyCorrect: values.onlyCorrect,
          seed: values.seed,
          senders,
          ...(effect !== undefined && { effect }),
          ...keys,
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        return { data: result, text: () => identifyText(result) };
      },
    });
  },
});

function toSenders(given: string | undefined): SenderKind[] {
  if (given === undefined) return ["heads", "mlps"];
  return given.split(",").map((part) => {
    const name = part.trim();
    if (name === "heads" || name === "mlps") return name;
    throw new KeyheadsError("USAGE", `--senders: expected heads, mlps or both, but got "${name}"`);
  });
}

function plan(method: (typeof methods)[number], spec: ModelSpec, { items }: ItemSet): Step[] {
  const references = items.map(({ reference }) => reference.length);
  const counterfactuals = items.map((item) => (item.counterfactual ?? item.reference).length);
  const senders = spec.layers * (spec.heads + 1);
  const base = [
    forwardStep("reference runs", spec, references),
    forwardStep("counterfactual runs", spec, counterfactuals),
  ];
  if (method === "exact") return [...base, chainStep("END-row chain", spec, items.length)];
  return [...base, forwardStep(`${senders} patched runs`, spec, references, { runs: senders })];
}
