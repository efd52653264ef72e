// The figures of a circuit, whatever it is made of: heads and MLPs, or edges.
import { KeyheadsError } from "../errors.ts";
import type { CircuitResult } from "../results.ts";
import { clusterDraws, mean, numberClusters, ratioOfMeans } from "../statistics/bootstrap.ts";
import { combinations } from "../statistics/combinations.ts";
import { type Rng, rng } from "../statistics/rng.ts";
import { allBut, type PartSpace } from "./circuit-space.ts";
import { completeness } from "./completeness.ts";
import type { Meter } from "./meter.ts";
import { minimality } from "./minimality.ts";
import type { CircuitOptions } from "./options.ts";
import { type Scored, sizeCurve } from "./size-curve.ts";

/** Below this share of the metric's own size, m(M) - m(empty) is rounding. */
const rounding = 1e-6;

export interface WeighOptions<Part>
  extends Pick<CircuitOptions, "seed" | "random" | "draws" | "onProgress"> {
  /** Parts of the circuit that are tried; 0: neither completeness nor minimality. */
  readonly subsets: number;
  readonly scores?: readonly Scored<Part>[];
}

export type Weighed = Pick<
  CircuitResult,
  | "full"
  | "circuit"
  | "empty"
  | "faithfulness"
  | "completeness"
  | "minimality"
  | "sizes"
  | "cpr"
  | "cmd"
>;

/** Throws BAD_ITEMS where removing everything changes nothing. */
export async function weighCircuit<Part>(
  meter: Meter<Part>,
  space: PartSpace<Part>,
  chosen: readonly Part[],
  options: WeighOptions<Part>,
): Promise<Weighed> {
  const { seed = 0, subsets, random = 40, scores, onProgress } = options;
  const stages = 1 + (subsets > 0 ? 2 : 0) + (scores ? 1 : 0);
  let done = 0;
  const finished = <T>(result: T) => {
    onProgress?.(++done, stages);
    return result;
  };
  const [ofModel, ofCircuit, ofNothing] = (await meter.measure([
    [],
    allBut(space, chosen),
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
  const curves =
    scores &&
    finished([
      await sizeCurve(meter, space, scores, "signed"),
      await sizeCurve(meter, space, scores, "absolute"),
    ]);
  return {
    ...{ full, circuit: mean(ofCircuit), empty },
    faithfulness: { mean: faithful.estimate, low: faithful.low, high: faithful.high },
    ...(subsets > 0 && {
      completeness: finished(await completeness(meter, space, chosen, parts, range, source)),
      minimality: finished(
        await minimality(meter, space, chosen, {
          ...{ subsets: parts, most: random, range, random: source },
        }),
      ),
    }),
    ...(curves && { sizes: curves, cpr: curves[0]?.cpr as number, cmd: curves[1]?.cmd as number }),
  };
}

/** All parts of the circuit, the empty one included, or so many random ones. */
function partsOf<Part>(circuit: readonly Part[], count: number, random: Rng): Part[][] {
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
