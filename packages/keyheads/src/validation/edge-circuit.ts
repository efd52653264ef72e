// Is a set of edges the circuit of a task? As EAP-IG and MIB run circuits: along edges of the circuit
// goes what the sender writes in that run, along all others what it writes on X_c.
import { performance } from "node:perf_hooks";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { CircuitResult } from "../results.ts";
import { EdgeMeter } from "./edge-meter.ts";
import { EdgeSpace } from "./edge-space.ts";
import type { EdgeCircuitOptions, Items } from "./options.ts";
import { weighCircuit } from "./weigh-circuit.ts";

/**
 * Faithfulness of a circuit of edges, and CPR and CMD over numbers of edges where all have scores. With
 * `subsets` also completeness and minimality, each part of which takes runs of its own.
 *
 * Throws BAD_ARGUMENT for an empty circuit or edges that do not exist, BAD_ITEMS where prompts and
 * counterfactuals differ in length or give the same metric.
 *
 * @example
 * const { edges } = await readCircuit("circuit.json", model.spec);
 * const inside = [...edges].filter(([, { inGraph }]) => inGraph).map(([name]) => name);
 * const proof = await edgeCircuit(model, items, { edges: inside });
 * console.log(proof.faithfulness.mean);
 */
export async function edgeCircuit(
  model: Model,
  items: Items,
  options: EdgeCircuitOptions,
): Promise<CircuitResult> {
  const started = performance.now();
  const { edges, scores, subsets = 0 } = options;
  if (edges.length === 0) {
    throw new KeyheadsError("BAD_ARGUMENT", "a circuit without edges does nothing; name some");
  }
  const space = new EdgeSpace(model.spec);
  space.check(edges);
  if (scores) space.check(scores.map(({ component }) => component));
  const meter = new EdgeMeter(model, items, space, options);
  return {
    level: "edges",
    items: { used: itemsOf(items).length, dropped: droppedOf(items) },
    components: edges,
    of: space.all.length,
    ...{ metric: meter.metric, ablation: "counterfactual", positions: "all" },
    ...{ meanOver: meter.description, mlpsOutside: "removed" },
    ...(await weighCircuit(meter, space, edges, { ...options, subsets })),
    seconds: (performance.now() - started) / 1000,
  };
}
