/** Is a set of heads and MLPs the circuit of a task: faithfulness, completeness, minimality. */
import type { Component } from "../../attribution/component.ts";
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import { writeWhole } from "../../run/write-whole.ts";
import { circuit } from "../../validation/circuit.ts";
import { circuitJson, graphShape, readCircuit } from "../../validation/circuit-file.ts";
import {
  type CircuitGraph,
  circuitComponents,
  nodeCircuit,
  nodeComponent,
  nodeName,
  withEdges,
} from "../../validation/graph.ts";
import type { Scored } from "../../validation/size-curve.ts";
import { defineCommand, option } from "../command.ts";
import {
  type ComponentValues,
  chosenComponents,
  edgesOf,
  harmOf,
  scoresOf,
  sharedClusters,
} from "../components.ts";
import { loadItems, loadMeasured } from "../items.ts";
import {
  components,
  force,
  items,
  meanOver,
  modelOptions,
  onlyCorrect,
  outFile,
  positions,
  seed,
  split,
  strict,
} from "../options.ts";
import { refuseExisting } from "../output-file.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { circuitText } from "../show/circuit.ts";
import { choice, integer, text } from "../values.ts";

export const command = defineCommand({
  name: "circuit",
  summary: "faithfulness, completeness and minimality of a set of heads and MLPs",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "circuit ./my-model --items test.jsonl --from identify.json --top 10",
    "circuit ./my-model --items test.jsonl --heads 3.1,12.22 --mlps 17 --save-circuit c.json",
    "circuit ./my-model --items test.jsonl --circuit c.json --ablation counterfactual",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    ...components,
    circuit: option(
      "--circuit <file>",
      "take heads and MLPs from a circuit file of EAP-IG's or MIB's layout",
      text().optional(),
    ),
    saveCircuit: option("--save-circuit <file>", "write such a file", text().optional()),
    mlpsOutside: option(
      "--mlps-outside <mode>",
      "kept or removed: MLPs that the circuit does not name (default: kept where it names none)",
      choice("kept", "removed").optional(),
    ),
    metric: option(
      "--metric <name>",
      "default: logit-difference where items have a counterfactual answer, else logprob",
      choice("logit-difference", "logprob", "logit", "prob").optional(),
    ),
    ablation: option(
      "--ablation <name>",
      "mean, zero, resample or counterfactual (default: mean)",
      choice("mean", "zero", "resample", "counterfactual").default("mean"),
    ),
    positions,
    meanOver,
    subsets: option(
      "--subsets <n>",
      "parts of the circuit that are tried, all where there are no more (default: 32; 0: none)",
      integer(0).default(32),
    ),
    random: option(
      "--random <n>",
      "random heads that minimality is held against (default: 40)",
      integer(1).default(40),
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
    const { split, strict, saveCircuit } = values;
    if (saveCircuit !== undefined) refuseExisting(saveCircuit, values.force);
    const read = { single: true, strict, split };
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const { items } = await loadItems(values.items, { spec, tokenizer }, cli, read);
        const lengths = items.map(({ reference }) => reference.length);
        const runs = 2 * values.subsets * (values.random + 2);
        return [forwardStep(`up to ${runs} runs`, spec, lengths, { runs })];
      },
      async compute(model) {
        const { chosen, scores } = await readChosen(model, values);
        const { onlyCorrect } = values;
        const set = await loadMeasured(values.items, model, cli, { ...read, onlyCorrect });
        const shared = await sharedClusters(values.from, set.items, split);
        const over = values.meanOver;
        const meanOver = over === undefined ? undefined : await loadItems(over, model, cli, read);
        using progress = cli.progress("circuit");
        const { ablation, positions, subsets, random, draws, seed, metric, mlpsOutside } = values;
        const result = await circuit(model, set, {
          heads: chosen.filter(({ head }) => head >= 0),
          mlps: chosen.flatMap(({ layer, head }) => (head < 0 ? [layer] : [])),
          ...{ ablation, positions, subsets, random, seed },
          ...(scores.length > 0 && { scores }),
          ...(draws !== undefined && { draws }),
          ...(metric !== undefined && { metric }),
          ...(mlpsOutside !== undefined && { mlpsOutside }),
          ...(meanOver && { meanOver }),
          signal: cli.signal,
          onProgress: progress.onProgress,
        });
        if (saveCircuit !== undefined) {
          const kept = result.mlpsOutside === "kept" ? mlpsOf(model) : [];
          const whole = circuitOf(model, [...chosen, ...kept], scores);
          await writeWhole(saveCircuit, circuitJson(await withMeasured(whole, values.from, model)));
          cli.note(`circuit written to ${saveCircuit}`);
        }
        return { data: { ...result, sharedClusters: shared }, text: () => circuitText(result) };
      },
    });
  },
});

/** The circuit, and scores of components where the source has them. */
async function readChosen(
  model: Model,
  { circuit, ...values }: ComponentValues & { readonly circuit: string | undefined },
): Promise<{ chosen: readonly Component[]; scores: Scored[] }> {
  if (circuit === undefined) {
    const { heads, mlps } = await chosenComponents(values, model.spec);
    return {
      chosen: [...heads, ...mlps.map((layer) => ({ layer, head: -1 }))],
      scores: values.from === undefined ? [] : await scoresOf(values.from),
    };
  }
  const others = [values.heads, values.mlps, values.from];
  if (others.some((value) => value !== undefined)) {
    throw new KeyheadsError("USAGE", "--circuit excludes --heads, --mlps and --from; give one");
  }
  const graph = await readCircuit(circuit, model.spec);
  const scores = [...graph.nodes].flatMap(([name, { score }]) => {
    const component = nodeComponent(name);
    return component && score !== undefined ? [{ component, score }] : [];
  });
  return { chosen: circuitComponents(graph), scores };
}

function mlpsOf({ spec }: Model): Component[] {
  return Array.from({ length: spec.layers }, (_, layer) => ({ layer, head: -1 }));
}

function circuitOf(model: Model, circuit: readonly Component[], scores: readonly Scored[]) {
  const byName = scores.map(({ component, score }): [string, number] => [
    nodeName(component),
    score,
  ]);
  return nodeCircuit(graphShape(model.spec), circuit, new Map(byName));
}

/** With the edges that the source of the heads has measured, if it has. */
async function withMeasured(graph: CircuitGraph, from: string | undefined, { spec }: Model) {
  const edges = from === undefined ? [] : await edgesOf(from);
  if (from === undefined || edges.length === 0) return graph;
  return withEdges(graph, edges, { kvHeads: spec.kvHeads, harm: await harmOf(from) });
}
