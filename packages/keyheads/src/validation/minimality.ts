// Minimality (Wang et al. 2022): every part of a circuit matters to it, if not in the whole circuit
// then without some other part K. Beside it, the same of random heads (or edges) that are added to the
// circuit.
import type { MinimalityResult } from "../results.ts";
import { percentileInterval } from "../statistics/percentile.ts";
import type { Rng } from "../statistics/rng.ts";
import { allBut, difference, type PartSpace } from "./circuit-space.ts";
import { type Meter, meansOf } from "./meter.ts";

export interface MinimalityOptions<Part> {
  /** Parts K of the circuit that are removed beforehand; the empty one is always tried. */
  readonly subsets: readonly (readonly Part[])[];
  /** Most random parts. */
  readonly most: number;
  /** m(M) - m(empty), which shares are of. */
  readonly range: number;
  readonly random: Rng;
}

export async function minimality<Part>(
  meter: Meter<Part>,
  space: PartSpace<Part>,
  circuit: readonly Part[],
  { subsets, most, range, random }: MinimalityOptions<Part>,
): Promise<MinimalityResult> {
  /** The largest effect of removing `one` from `whole` over all K. */
  const largest = async (whole: readonly Part[], one: Part) => {
    const less = (set: readonly Part[]) => difference(space, difference(space, whole, set), [one]);
    const kept = [[], ...subsets].map(less);
    const values = await meansOf(meter, [
      ...kept.map((set) => allBut(space, set)),
      ...kept.map((set) => allBut(space, [...set, one])),
    ]);
    const effects = kept.map((_, i) =>
      Math.abs((values[i] as number) - (values[kept.length + i] as number)),
    );
    const at = effects.indexOf(Math.max(...effects));
    return { effect: effects[at] as number, without: less(kept[at] as Part[]).map(space.nameOf) };
  };
  const outside = difference(space, space.all, circuit).filter(space.isComparable);
  const others = outside.length > most ? random.sample(outside, most) : outside;
  const nulls: number[] = [];
  for (const other of others) nulls.push((await largest([...circuit, other], other)).effect);
  const components = [];
  for (const part of circuit) {
    const { effect, without } = await largest(circuit, part);
    components.push({
      component: space.nameOf(part),
      ...{ effect, share: effect / range, without },
      atLeast: nulls.filter((other) => other >= effect).length / nulls.length,
    });
  }
  return {
    components,
    random: {
      heads: others.map(space.nameOf),
      effects: nulls,
      high: percentileInterval(nulls, 0.9)[1],
    },
  };
}
