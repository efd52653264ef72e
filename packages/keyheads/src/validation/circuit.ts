// Is a set of heads and MLPs the circuit of a task? Does it do the task by itself (faithfulness), is
// nothing of it missing (completeness), is every part needed (minimality)?
import { performance } from "node:perf_hooks";
import { type Component, componentName, mlp } from "../attribution/component.ts";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { CircuitResult } from "../results.ts";
import { circuitSpace } from "./circuit-space.ts";
import type { CircuitOptions, Items } from "./options.ts";
import { SetMeter } from "./set-meter.ts";
import { weighCircuit } from "./weigh-circuit.ts";

/** Parts K that are tried where nothing is said. */
const defaultSubsets = 32;

/**
 * Faithfulness, completeness and minimality of a circuit, and curves over its size where components
 * have scores.
 *
 * Throws BAD_ARGUMENT for an empty circuit or components that do not exist, BAD_ITEMS where removing
 * everything changes nothing, or where means or counterfactuals cannot be taken.
 *
 * @example
 * const proof = await circuit(model, items, { heads: parseHeads("2.2,2.1"), mlps: [2, 3] });
 * console.log(proof.faithfulness.mean, proof.completeness?.share);
 */
export async function circuit(
  model: Model,
  items: Items,
  options: CircuitOptions,
): Promise<CircuitResult> {
  const started = performance.now();
  const chosen: Component[] = [...(options.heads ?? []), ...(options.mlps ?? []).map(mlp)];
  if (chosen.length === 0) {
    throw new KeyheadsError("BAD_ARGUMENT", "an empty circuit does nothing; name heads or MLPs");
  }
  const space = circuitSpace(model.spec, chosen, options.mlpsOutside);
  const { ablation = "mean", positions = "all", subsets = defaultSubsets } = options;
  const { onProgress: _, ...quiet } = options;
  const meter = await SetMeter.open(model, items, options.metric, quiet);
  const scores = options.scores?.filter(({ component }) => {
    return space.mlpsOutside === "removed" || component.head >= 0;
  });
  return {
    level: "nodes",
    items: { used: itemsOf(items).length, dropped: droppedOf(items) },
    components: chosen.map(componentName),
    of: space.all.length,
    ...{ metric: meter.metric, ablation, positions, meanOver: meter.description },
    mlpsOutside: space.mlpsOutside,
    ...(await weighCircuit(meter, space, chosen, {
      ...options,
      subsets,
      ...(scores && { scores }),
    })),
    seconds: (performance.now() - started) / 1000,
  };
}
