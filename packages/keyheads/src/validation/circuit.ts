// Is a set of heads and MLPs the circuit of a task? Does it do the task by itself (faithfulness), is
// nothing of it missing (completeness), is every part needed (minimality)?
import { performance } from "node:perf_hooks";
import { type Component, componentName, mlp } from "../attribution/component.ts";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { CircuitResult } from "../results.ts";
import { clusterDraws, mean, numberClusters, ratioOfMeans } from "../statistics/bootstrap.ts";
import { combinations } from "../statistics/combinations.ts";
import { type Rng, rng } from "../statistics/rng.ts";
import { circuitSpace } from "./circuit-space.ts";
import { completeness } from "./completeness.ts";
import { minimality } from "./minimality.ts";
import type { CircuitOptions, Items } from "./options.ts";
import { SetMeter } from "./set-meter.ts";
import { sizeCurve } from "./size-curve.ts";

/** Below this share of the metric's own size, m(M) - m(empty) is rounding. */
const rounding = 1e-6;

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
  const { ablation = "mean", positions = "all", seed = 0, subsets = 32, random = 40 } = options;
  const { onProgress, ...quiet } = options;
  const stages = 1 + (subsets > 0 ? 2 : 0) + (options.scores ? 1 : 0);
  let done = 0;
  const finished = <T>(result: T) => {
    onProgress?.(++done, stages);
    return result;
  };
  const meter = await SetMeter.open(model, items, options.metric, quiet);
  const [ofModel, ofCircuit, ofNothing] = (await meter.measure([
    [],
    space.without(chosen),
    space.all,
  ])) as [Float64Array, Float64Array, Float64Array];
  const [full, empty] = [mean(ofModel), mean(ofNothing)];
  const range = full - empty;
  if (Math.abs(range) <= rounding * (Math.abs(full) + Math.abs(empty))) throw noRange(full);
  const clusters = numberClusters(meter.clusters);
  const above = (values: Float64Array) =>
    values.map((value, i) => value - (ofNothing[i] as number));
  const faithful = ratioOfMeans(
    above(ofCircuit),
    above(ofModel),
    clusters,
    clusterDraws(clusters.count, options),
  );
  finished(faithful);
  const source = rng(seed);
  const parts = partsOf(chosen, subsets, source);
  const { scores } = options;
  const measured = scores?.filter(({ component }) => {
    return space.mlpsOutside === "removed" || component.head >= 0;
  });
  const curves =
    measured &&
    finished([
      await sizeCurve(meter, space, measured, "signed"),
      await sizeCurve(meter, space, measured, "absolute"),
    ]);
  return {
    items: { used: itemsOf(items).length, dropped: droppedOf(items) },
    components: chosen.map(componentName),
    of: space.all.length,
    ...{ metric: meter.metric, ablation, positions, meanOver: meter.description },
    mlpsOutside: space.mlpsOutside,
    ...{ full, circuit: mean(ofCircuit), empty },
    faithfulness: { mean: faithful.estimate, low: faithful.low, high: faithful.high },
    ...(subsets > 0 && {
      completeness: finished(await completeness(meter, space, chosen, parts, range, source)),
      minimality: finished(
        await minimality(meter, space, chosen, {
          ...{ subsets: parts, heads: random, range, random: source },
        }),
      ),
    }),
    ...(curves && { sizes: curves, cpr: curves[0]?.cpr as number, cmd: curves[1]?.cmd as number }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** All parts of the circuit, the empty one included, or so many random ones. */
function partsOf(circuit: readonly Component[], count: number, random: Rng): Component[][] {
  if (2 ** circuit.length <= count) {
    return [...circuit.keys(), circuit.length].flatMap((k) => combinations(circuit, k));
  }
  return Array.from({ length: count }, () => {
    return random.sample(circuit, random.int(circuit.length + 1));
  });
}

function noRange(full: number): KeyheadsError {
  return new KeyheadsError(
    "BAD_ITEMS",
    `removing everything leaves the metric at ${full}: nothing can be faithful to that; ` +
      "use other items, another metric or another ablation",
  );
}
