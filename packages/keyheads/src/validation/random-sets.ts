// Random sets to hold a chosen set against: as many heads and as many MLPs, drawn from all of the
// model (the chosen ones included, so that the chosen set is one of the sets that could be drawn and
// its place among them is a p-value), or head by head from the same layers.
import type { ModelSpec } from "@keyheads/native";
import { allHeads, allMlps, type Component, isMlp } from "../attribution/component.ts";
import { choose, combinations } from "../statistics/combinations.ts";
import { groupBy } from "../statistics/group-by.ts";
import type { Rng } from "../statistics/rng.ts";

export interface RandomSets {
  readonly sets: readonly (readonly Component[])[];
  /** These are all sets there are. */
  readonly exhaustive: boolean;
}

/** At most `draws` sets; all of them where there are no more than that. */
export function randomSets(
  spec: Pick<ModelSpec, "layers" | "heads">,
  chosen: readonly Component[],
  options: { readonly draws: number; readonly layerMatched: boolean; readonly random: Rng },
): RandomSets {
  const { draws, random } = options;
  const pools = poolsOf(spec, chosen, options.layerMatched);
  const count = pools.reduce((product, { pool, take }) => product * choose(pool.length, take), 1);
  if (count <= draws) {
    const parts = pools.map(({ pool, take }) => combinations(pool, take));
    const sets = parts.reduce<Component[][]>(
      (left, right) => left.flatMap((a) => right.map((b) => [...a, ...b])),
      [[]],
    );
    return { sets, exhaustive: true };
  }
  const sets = Array.from({ length: draws }, () =>
    pools.flatMap(({ pool, take }) => random.sample(pool, take)),
  );
  return { sets, exhaustive: false };
}

interface Pool {
  readonly pool: readonly Component[];
  readonly take: number;
}

function poolsOf(
  spec: Pick<ModelSpec, "layers" | "heads">,
  chosen: readonly Component[],
  layerMatched: boolean,
): Pool[] {
  const mlps = chosen.filter(isMlp).length;
  const heads = chosen.filter((component) => !isMlp(component));
  const all = allHeads(spec);
  const headPools = layerMatched
    ? [...groupBy(heads, (head) => head.layer)].map(([layer, group]) => ({
        pool: all.filter((head) => head.layer === layer),
        take: group.length,
      }))
    : [{ pool: all, take: heads.length }];
  return [...headPools, { pool: allMlps(spec), take: mlps }];
}
