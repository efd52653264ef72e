// Completeness (Wang et al. 2022): a circuit that has everything the model uses loses as much as the
// model does, whatever part K of it is removed from both. The largest difference is searched for
// among random K (all K, where they are few) and along a greedy path.
import type { CompletenessPoint, CompletenessResult } from "../results.ts";
import type { Rng } from "../statistics/rng.ts";
import { allBut, difference, type PartSpace } from "./circuit-space.ts";
import { type Meter, meansOf } from "./meter.ts";

/** Parts that a greedy step tries; more are sampled, as in the paper. */
const mostCandidates = 20;

export async function completeness<Part>(
  meter: Meter<Part>,
  space: PartSpace<Part>,
  circuit: readonly Part[],
  subsets: readonly (readonly Part[])[],
  range: number,
  random: Rng,
): Promise<CompletenessResult> {
  const compare = async (removed: readonly (readonly Part[])[]) => {
    const ofCircuit = removed.map((set) => allBut(space, difference(space, circuit, set)));
    const values = await meansOf(meter, [...ofCircuit, ...removed]);
    return removed.map((set, i): CompletenessPoint => {
      const [circuitValue, model] = [values[i], values[removed.length + i]] as [number, number];
      const difference = Math.abs(circuitValue - model);
      return { removed: set.map(space.nameOf), circuit: circuitValue, model, difference };
    });
  };
  const drawn = await compare(subsets);
  const greedy: CompletenessPoint[] = [];
  let removed: Part[] = [];
  while (removed.length < circuit.length) {
    const left = difference(space, circuit, removed);
    const tried = left.length > mostCandidates ? random.sample(left, mostCandidates) : left;
    const points = await compare(tried.map((one) => [...removed, one]));
    const best = points.reduce((most, point, i) => {
      return point.difference > (points[most] as CompletenessPoint).difference ? i : most;
    }, 0);
    removed = [...removed, tried[best] as Part];
    greedy.push(points[best] as CompletenessPoint);
  }
  const worst = [...drawn, ...greedy].reduce((a, b) => (b.difference > a.difference ? b : a));
  return {
    largest: worst.difference,
    share: worst.difference / range,
    worst,
    random: drawn,
    greedy,
  };
}
