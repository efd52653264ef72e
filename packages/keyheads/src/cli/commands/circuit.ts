/** Is a set of heads and MLPs, or of edges, the circuit of a task: faithfulness and more. */
import { KeyheadsError } from "../../errors.ts";
import type { CallOptions, Model } from "../../model.ts";
import { writeWhole } from "../../run/write-whole.ts";
import type { ItemSet } from "../../tasks/items.ts";
import { circuit } from "../../validation/circuit.ts";
import { circuitJson } from "../../validation/circuit-file.ts";
import { edgeCircuit } from "../../validation/edge-circuit.ts";
import { type CircuitSource, readSource, sourceGraph } from "../circuit-source.ts";
import { defineCommand, option } from "../command.ts";
import { sharedClusters } from "../components.ts";
import { loadItems, loadMeasured } from "../items.ts";
import {
  components,
  force,
  items,
  meanOver,
  modelOptions,
  onlyCorrect,
  outFile,
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
  summary: "faithfulness, completeness and minimality of a set of heads and MLPs, or of edges",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "circuit ./my-model --items test.jsonl --from identify.json --top 10",
    "circuit ./my-model --items test.jsonl --heads 3.1,12.22 --mlps 17 --save-circuit c.json",
    "circuit ./my-model --items test.jsonl --circuit c.json",
    "circuit ./my-model --items test.jsonl --from eap.json --edges 200",
  ],
  outFile: true,
  options: {
    ...modelOptions,
    items,
    ...components,
    circuit: option(
      "--circuit <file>",
      "take heads and MLPs, or edges, from a circuit file of EAP-IG's or MIB's layout",
      text().optional(),
    ),
    level: option(
      "--level <what>",
      "nodes or edges (default: edges where a file names less than all edges between its nodes)",
      choice("nodes", "edges").optional(),
    ),
    edges: option(
      "--edges <n>",
      "with --from a result of eap or eap-ig: a circuit of its n strongest edges",
      integer(1).optional(),
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
      "mean, zero, resample or counterfactual (default: mean; of edges always counterfactual)",
      choice("mean", "zero", "resample", "counterfactual").optional(),
    ),
    positions: option(
      "--positions <where>",
      "end or all: where components are removed (default: all; of edges always all)",
      choice("end", "all").optional(),
    ),
    meanOver,
    subsets: option(
      "--subsets <n>",
      "parts of the circuit that are tried, all where there are no more; 0: none (default: 32; of edges 0)",
      integer(0).optional(),
    ),
    random: option(
      "--random <n>",
      "random heads, or edges, that minimality is held against (default: 40)",
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
        const { subsets = 32, random } = values;
        const runs = 2 * subsets * (random + 2);
        return [forwardStep(`up to ${runs} runs`, spec, lengths, { runs })];
      },
      async compute(model) {
        const source = await readSource(values, model.spec);
        const { onlyCorrect } = values;
        const set = await loadMeasured(values.items, model, cli, { ...read, onlyCorrect });
        const shared = await sharedClusters(values.from, set.items, split);
        const over = values.meanOver;
        const meanOver = over === undefined ? undefined : await loadItems(over, model, cli, read);
        using progress = cli.progress("circuit");
        const call = { signal: cli.signal, onProgress: progress.onProgress };
        if (source.level === "edges") {
          refuseForEdges(values);
          if (source.why !== undefined) cli.note(source.why);
        }
        const result =
          source.level === "edges"
            ? await weighEdges(model, set, source, { ...values, ...call })
            : await weighNodes(model, set, source, { ...values, ...call, meanOver });
        if (saveCircuit !== undefined) {
          const mlpsKept = source.level === "nodes" && result.mlpsOutside === "kept";
          const graph = await sourceGraph(source, values, mlpsKept, model.spec);
          await writeWhole(saveCircuit, circuitJson(graph));
          cli.note(`circuit written to ${saveCircuit}`);
        }
        return { data: { ...result, sharedClusters: shared }, text: () => circuitText(result) };
      },
    });
  },
});

interface Weighing extends CallOptions {
  readonly metric: "logit-difference" | "logprob" | "logit" | "prob" | undefined;
  readonly subsets: number | undefined;
  readonly random: number;
  readonly draws: number | undefined;
  readonly seed: number;
}
type OfLevel<Level> = Extract<CircuitSource, { readonly level: Level }>;

const common = ({ metric, subsets, random, draws, seed, signal, onProgress }: Weighing) => ({
  ...{ random, seed },
  ...(metric !== undefined && { metric }),
  ...(subsets !== undefined && { subsets }),
  ...(draws !== undefined && { draws }),
  ...(signal && { signal }),
  ...(onProgress && { onProgress }),
});

function weighEdges(
  model: Model,
  set: ItemSet,
  { chosen, scores }: OfLevel<"edges">,
  weighing: Weighing,
) {
  return edgeCircuit(model, set, {
    ...common(weighing),
    edges: chosen,
    ...(scores.length > 0 && { scores }),
  });
}

interface NodeValues extends Weighing {
  readonly ablation: "mean" | "zero" | "resample" | "counterfactual" | undefined;
  readonly positions: "end" | "all" | undefined;
  readonly mlpsOutside: "kept" | "removed" | undefined;
  readonly meanOver: ItemSet | undefined;
}

function weighNodes(
  model: Model,
  set: ItemSet,
  { chosen, scores }: OfLevel<"nodes">,
  values: NodeValues,
) {
  const { ablation, positions, mlpsOutside, meanOver } = values;
  return circuit(model, set, {
    heads: chosen.filter(({ head }) => head >= 0),
    mlps: chosen.flatMap(({ layer, head }) => (head < 0 ? [layer] : [])),
    ...common(values),
    ...(scores.length > 0 && { scores }),
    ...(ablation !== undefined && { ablation }),
    ...(positions !== undefined && { positions }),
    ...(mlpsOutside !== undefined && { mlpsOutside }),
    ...(meanOver && { meanOver }),
  });
}

/** Throws USAGE for options that only circuits of nodes have. */
function refuseForEdges(values: {
  readonly ablation: string | undefined;
  readonly positions: string | undefined;
  readonly mlpsOutside: string | undefined;
  readonly meanOver: string | undefined;
}): void {
  const { ablation, positions, mlpsOutside, meanOver } = values;
  const wrong = [
    ...(ablation !== undefined && ablation !== "counterfactual" ? [`--ablation ${ablation}`] : []),
    ...(positions === "end" ? ["--positions end"] : []),
    ...(mlpsOutside !== undefined ? ["--mlps-outside"] : []),
    ...(meanOver !== undefined ? ["--mean-over"] : []),
  ];
  if (wrong.length === 0) return;
  throw new KeyheadsError(
    "USAGE",
    `${wrong.join(" and ")}: along edges outside of a circuit goes what the sender writes on the ` +
      "item's own counterfactual, at every position; leave it out, or weigh its nodes with --level nodes",
  );
}
