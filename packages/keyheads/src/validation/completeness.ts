// Completeness (Wang et al. 2022): a circuit that has everything the model uses loses as much as the
// model does, whatever part K of it is removed from both. The largest difference is searched for
// among random K (all K, where they are few) and along a greedy path.
import { type Component, componentName } from "../attribution/component.ts";
import type { CompletenessPoint, CompletenessResult } from "../results.ts";
import type { Rng } from "../statistics/rng.ts";
import { type CircuitSpace, difference } from "./circuit-space.ts";
import type { SetMeter } from "./set-meter.ts";

/** Components that a greedy step tries; more are sampled, as in the paper. */
const mostCandidates = 20;

export async function completeness(
  meter: SetMeter,
  space: CircuitSpace,
  circuit: readonly Component[],
  subsets: readonly (readonly Component[])[],
  range: number,
  random: Rng,
): Promise<CompletenessResult> {
  const compare = async (removed: readonly (readonly Component[])[]) => {
    const ofCircuit = removed.map((set) => space.without(difference(circuit, set)));
    const values = await meter.means([...ofCircuit, ...removed]);
    return removed.map((set, i): CompletenessPoint => {
      const [circuitValue, model] = [values[i], values[removed.length + i]] as [number, number];
      const difference = Math.abs(circuitValue - model);
      return { removed: set.map(componentName), circuit: circuitValue, model, difference };
    });
  };
  const drawn = await compare(subsets);
  const greedy: CompletenessPoint[] = [];
  let removed: Component[] = [];
  while (removed.length < circuit.length) {
    const left = difference(circuit, removed);
    const tried = left.length > mostCandidates ? random.sample(left, mostCandidates) : left;
    const points = await compare(tried.map((one) => [...removed, one]));
    const best = points.reduce((most, point, i) => {
      return point.difference > (points[most] as CompletenessPoint).difference ? i : most;
    }, 0);
    removed = [...removed, tried[best] as Component];
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
