/** Effect of every head and MLP on the answer: path or activation patching, or an approximation. */

import type { ModelSpec } from "@keyheads/native";
import { identify } from "../../attribution/identify.ts";
import { approximateMethods, patchingMethods } from "../../attribution/options.ts";
import { activationByPosition } from "../../attribution/paths/by-position.ts";
import { patchUnits } from "../../attribution/paths/patch-units.ts";
import { parseReceivers, type Receiver } from "../../attribution/paths/receivers.ts";
import { sideBySide } from "../../attribution/paths/side-by-side.ts";
import type { ItemSet } from "../../tasks/items.ts";
import { defineCommand, option } from "../command.ts";
import { checkWays } from "../identify-ways.ts";
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
import { parseSenders, unitsOf } from "../senders.ts";
import { withModel } from "../session.ts";
import { identifyText } from "../show/identify.ts";
import { byPositionText, sideBySideText, unitsText } from "../show/paths.ts";
import { choice, flag, integer, list } from "../values.ts";

const methods = [...patchingMethods, ...approximateMethods] as const;

export const command = defineCommand({
  name: "identify",
  summary: "effect of every head and MLP on the answer",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "identify ./my-model --items add.jsonl",
    "identify ./my-model --items add.jsonl --method activation --positions all --json",
    "identify ./my-model --items add.jsonl --receivers q:3.1,mlp:5",
    "identify ./my-model --items add.jsonl --method activation --by-position",
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
      "of heads, mlps, embeds and neurons:LAYER (default: heads,mlps)",
      list("heads, mlps, embeds, neurons:3").optional(),
    ),
    receivers: option(
      "--receivers <list>",
      "path patching: where paths end, such as q:3.1,k:4.0,v:4.0,mlp:5,resid:7 (default: the logits)",
      list("receivers such as q:3.1,mlp:5").optional(),
    ),
    wholeGroups: option(
      "--whole-groups",
      "grouped queries: k and v receivers are whole groups, not one head's copy",
      flag().default(false),
    ),
    byPosition: option(
      "--by-position",
      "with --method activation (or naive, its slow twin): every sender at every position",
      flag().default(false),
    ),
    sideBySide: option(
      "--side-by-side",
      "add the total effects at END and at all positions to the direct ones",
      flag().default(false),
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
    const senders = parseSenders(values.senders);
    const receivers = values.receivers === undefined ? [] : parseReceivers(values.receivers);
    const keys = toKeyOptions(values);
    checkWays(values, senders);
    const read = { single: true, strict: values.strict, split: values.split };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const set = await loadItems(values.items, { spec, tokenizer }, cli, read);
        return plan({ ...values, receivers }, spec, set);
      },
      async compute(model) {
        const set = await loadItems(values.items, model, cli, read);
        using progress = cli.progress("identify");
        const { effect, draws, positions, steps, interpolate, parts, edges } = values;
        const { mlpPath, counterfactual, onlyCorrect, seed, method, wholeGroups } = values;
        const question = {
          ...{ counterfactual, onlyCorrect, seed },
          ...(effect !== undefined && { effect }),
          ...(draws !== undefined && { draws }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        };
        if (values.byPosition) {
          const { kinds } = senders;
          const naive = method === "naive";
          const found = await activationByPosition(model, set, {
            ...question,
            senders: kinds,
            naive,
          });
          return { data: { method, ...found }, text: () => byPositionText(found) };
        }
        const path = { mlpPath, ...(wholeGroups && { wholeGroups }) };
        const paths = { ...path, ...(receivers.length > 0 && { receivers }) };
        const options = {
          ...question,
          ...paths,
          ...keys,
          ...(positions !== undefined && { positions }),
          ...(steps !== undefined && { steps }),
          ...(interpolate !== undefined && { interpolate }),
          ...(parts && { parts }),
          ...(edges !== undefined && { edges }),
          senders: senders.kinds,
        };
        const units = unitsOf(senders, model, set.items);
        const more =
          units.length === 0
            ? undefined
            : await patchUnits(model, set, units, {
                ...question,
                ...paths,
                method: method === "activation" ? "activation" : "path",
                naive: method === "naive",
                ...(positions !== undefined && { at: positions }),
              });
        if (senders.kinds.length === 0 && more) {
          return { data: { method, ...more }, text: () => unitsText(more) };
        }
        const found = values.sideBySide
          ? await sideBySide(model, set, options)
          : { direct: await identify(model, set, { ...options, method }) };
        const { direct, ...totals } = found;
        return {
          data: { ...direct, ...totals, ...(more && { units: more.units }) },
          text: () =>
            [
              identifyText(direct),
              ...("totalEnd" in found ? [sideBySideText(found)] : []),
              ...(more ? [unitsText(more)] : []),
            ].join("\n"),
        };
      },
    });
  },
});

interface Planned {
  readonly receivers: readonly Receiver[];
  readonly byPosition: boolean;
  readonly method: (typeof methods)[number];
  readonly steps: number | undefined;
  readonly interpolate: string | undefined;
}

function plan(
  { method, steps = 5, interpolate, receivers, byPosition }: Planned,
  spec: ModelSpec,
  set: ItemSet,
): Step[] {
  const references = set.items.map(({ reference }) => reference.length);
  const counterfactuals = set.items.map((item) => (item.counterfactual ?? item.reference).length);
  const senders = spec.layers * (spec.heads + 1);
  const base = [
    forwardStep("reference runs", spec, references),
    forwardStep("counterfactual runs", spec, counterfactuals),
  ];
  const patched = (runs: number) => forwardStep(`${runs} patched runs`, spec, references, { runs });
  if (byPosition) return [...base, patched(senders * Math.max(0, ...references))];
  if (receivers.length > 0) return [...base, patched(2 * senders)];
  const gradients = (count: number) => [...base, gradientStep(count, spec, references)];
  switch (method) {
    case "exact":
      return [...base, chainStep("END-row chain", spec, set.items.length)];
    case "naive":
    case "activation":
      return [...base, patched(senders)];
    case "atp-star":
      return gradients(3 * Math.max(1, spec.layers));
    case "eap-ig":
      return gradients(2 * steps * (interpolate === "activations" ? 2 * spec.layers + 1 : 1));
    default:
      return gradients(2);
  }
}
