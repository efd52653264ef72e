// Minimality (Wang et al. 2022): every part of a circuit matters to it, if not in the whole circuit
// then without some other part K. Beside it, the same of random heads that are added to the circuit.
import { type Component, componentName, isMlp } from "../attribution/component.ts";
import type { MinimalityResult } from "../results.ts";
import { percentileInterval } from "../statistics/percentile.ts";
import type { Rng } from "../statistics/rng.ts";
import { type CircuitSpace, difference } from "./circuit-space.ts";
import type { SetMeter } from "./set-meter.ts";

export interface MinimalityOptions {
  /** Parts K of the circuit that are removed beforehand; the empty one is always tried. */
  readonly subsets: readonly (readonly Component[])[];
  /** Most random heads. */
  readonly heads: number;
  /** m(M) - m(empty), which shares are of. */
  readonly range: number;
  readonly random: Rng;
}

export async function minimality(
  meter: SetMeter,
  space: CircuitSpace,
  circuit: readonly Component[],
  { subsets, heads, range, random }: MinimalityOptions,
): Promise<MinimalityResult> {
  /** The largest effect of removing `one` from `whole` over all K. */
  const largest = async (whole: readonly Component[], one: Component) => {
    const kept = [[], ...subsets].map((set) => difference(difference(whole, set), [one]));
    const values = await meter.means([
      ...kept.map((set) => space.without(set)),
      ...kept.map((set) => space.without([...set, one])),
    ]);
    const effects = kept.map((_, i) =>
      Math.abs((values[i] as number) - (values[kept.length + i] as number)),
    );
    const at = effects.indexOf(Math.max(...effects));
    const without = difference(difference(whole, kept[at] as Component[]), [one]);
    return { effect: effects[at] as number, without: without.map(componentName) };
  };
  const outside = difference(space.all, circuit).filter((component) => !isMlp(component));
  const others = outside.length > heads ? random.sample(outside, heads) : outside;
  const nulls: number[] = [];
  for (const head of others) nulls.push((await largest([...circuit, head], head)).effect);
  const components = [];
  for (const component of circuit) {
    const { effect, without } = await largest(circuit, component);
    components.push({
      component: componentName(component),
      ...{ effect, share: effect / range, without },
      atLeast: nulls.filter((other) => other >= effect).length / nulls.length,
    });
  }
  return {
    components,
    random: {
      heads: others.map(componentName),
      effects: nulls,
      high: percentileInterval(nulls, 0.9)[1],
    },
  };
}
