/** Effect of every head and MLP on the answer: path or activation patching, or an approximation. */

import type { ModelSpec } from "@keyheads/native";
import { identify } from "../../attribution/identify.ts";
import { approximateMethods, patchingMethods, type SenderKind } from "../../attribution/options.ts";
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
import { chainStep, forwardStep, gradientStep, type Step } from "../plan.ts";
import { withModel } from "../session.ts";
import { identifyText } from "../show/identify.ts";
import { choice, flag, integer, list } from "../values.ts";

const methods = [...patchingMethods, ...approximateMethods] as const;

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
      `exact (path patching), naive (its slow twin), activation (patching), or an approximation: ${approximateMethods.join(", ")} (default: exact)`,
      choice(...methods).default("exact"),
    ),
    positions: option(
      "--positions <where>",
      "end or all (not with path patching): where a sender is replaced (default: end; all for eap, eap-ig)",
      choice("end", "all").optional(),
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
    steps: option(
      "--steps <n>",
      "eap-ig: points over which gradients are averaged (default: 5)",
      integer(1).optional(),
    ),
    interpolate: option(
      "--interpolate <what>",
      "eap-ig: inputs or activations (default: inputs)",
      choice("inputs", "activations").optional(),
    ),
    parts: option(
      "--parts",
      "atp: effects of queries, keys and values too (always with atp-star)",
      flag().optional(),
    ),
    edges: option(
      "--edges <n>",
      "eap, eap-ig: how many edges to report, strongest first (default: 100)",
      integer(0).optional(),
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
    const senders = toSenders(values.senders);
    const keys = toKeyOptions(values);
    const read = { single: true, strict: values.strict, split: values.split };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        return plan(values, spec, set);
      },
      async compute(model) {
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("identify");
        const { effect, draws, positions, steps, interpolate, parts, edges } = values;
        const result = await identify(model, set, {
          method: values.method,
          ...(positions !== undefined && { positions }),
          ...(steps !== undefined && { steps }),
          ...(interpolate !== undefined && { interpolate }),
          ...(parts && { parts }),
          ...(edges !== undefined && { edges }),
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

interface Planned {
  readonly method: (typeof methods)[number];
  readonly steps: number | undefined;
  readonly interpolate: string | undefined;
}

function plan({ method, steps = 5, interpolate }: Planned, spec: ModelSpec, set: ItemSet): Step[] {
  const references = set.items.map(({ reference }) => reference.length);
  const counterfactuals = set.items.map((item) => (item.counterfactual ?? item.reference).length);
  const senders = spec.layers * (spec.heads + 1);
  const base = [
    forwardStep("reference runs", spec, references),
    forwardStep("counterfactual runs", spec, counterfactuals),
  ];
  const gradients = (count: number) => [...base, gradientStep(count, spec, references)];
  switch (method) {
    case "exact":
      return [...base, chainStep("END-row chain", spec, set.items.length)];
    case "naive":
    case "activation":
      return [...base, forwardStep(`${senders} patched runs`, spec, references, { runs: senders })];
    case "atp-star":
      return gradients(3 * Math.max(1, spec.layers));
    case "eap-ig":
      return gradients(2 * steps * (interpolate === "activations" ? 2 * spec.layers + 1 : 1));
    default:
      return gradients(2);
  }
}
