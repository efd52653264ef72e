// Sets of heads to compare with: random draws, plain or with as many heads of every layer as the
// given set, and the heads with the least effect.
import { allHeads, type HeadRef } from "../attribution/component.ts";
import type { IdentifyResult } from "../results.ts";
import { choose, combinations } from "../statistics/combinations.ts";
import { type Rng, rng } from "../statistics/rng.ts";
import { formatHead } from "./selection.ts";

interface Counts {
  readonly layers: number;
  readonly heads: number;
}

/**
 * Different random sets with as many heads of every layer as `heads`, none of them `heads` itself.
 * All of them, in order, if there are no more than `count`.
 */
export function layerMatchedDraws(
  heads: readonly HeadRef[],
  spec: Counts,
  options: { readonly count: number; readonly seed: number },
): HeadRef[][] {
  const perLayer = [...countByLayer(heads)].sort(([a], [b]) => a - b);
  const layerHeads = (layer: number) => allHeads(spec).filter((ref) => ref.layer === layer);
  const others = perLayer.reduce((sets, [, n]) => sets * choose(spec.heads, n), 1) - 1;
  const all = () =>
    perLayer.reduce<HeadRef[][]>(
      (sets, [layer, n]) =>
        sets.flatMap((set) => combinations(layerHeads(layer), n).map((more) => [...set, ...more])),
      [[]],
    );
  return distinct(heads, others, options, all, (random) =>
    perLayer.flatMap(([layer, n]) => random.sample(layerHeads(layer), n)),
  );
}

/** Different random sets of as many heads as `heads`, of any layers, none of them `heads` itself. */
export function plainDraws(
  heads: readonly HeadRef[],
  spec: Counts,
  options: { readonly count: number; readonly seed: number },
): HeadRef[][] {
  const from = allHeads(spec);
  return distinct(
    heads,
    choose(from.length, heads.length) - 1,
    options,
    () => combinations(from, heads.length),
    (random) => random.sample(from, heads.length),
  );
}

/** The k heads that harm the answer most when replaced; effects are patched - reference. */
export function topHeads(result: Pick<IdentifyResult, "heads">, k: number): HeadRef[] {
  return ranked(result, k, (effect) => effect);
}

/** The k heads whose replacement changes least. */
export function lowestEffectHeads(result: Pick<IdentifyResult, "heads">, k: number): HeadRef[] {
  return ranked(result, k, Math.abs);
}

/** The k layers whose MLPs harm the answer most when replaced. */
export function topMlps(result: Pick<IdentifyResult, "mlps">, k: number): number[] {
  const layers = result.mlps.map((effect, layer) => ({ effect, layer }));
  return layers
    .sort((a, b) => a.effect - b.effect || a.layer - b.layer)
    .slice(0, k)
    .map(({ layer }) => layer);
}

function ranked(
  { heads }: Pick<IdentifyResult, "heads">,
  k: number,
  key: (effect: number) => number,
): HeadRef[] {
  const all = heads.flatMap((row, layer) => row.map((effect, head) => ({ effect, layer, head })));
  return all
    .sort((a, b) => key(a.effect) - key(b.effect) || a.layer - b.layer || a.head - b.head)
    .slice(0, k)
    .map(({ layer, head }) => ({ layer, head }));
}

function distinct(
  heads: readonly HeadRef[],
  others: number,
  { count, seed }: { readonly count: number; readonly seed: number },
  all: () => HeadRef[][],
  draw: (random: Rng) => HeadRef[],
): HeadRef[][] {
  const own = setName(heads);
  if (others <= count) return all().filter((set) => setName(set) !== own);
  const random = rng(seed);
  const seen = new Set([own]);
  const draws: HeadRef[][] = [];
  while (draws.length < count) {
    const set = draw(random).sort((a, b) => a.layer - b.layer || a.head - b.head);
    if (seen.has(setName(set))) continue;
    seen.add(setName(set));
    draws.push(set);
  }
  return draws;
}

function countByLayer(heads: readonly HeadRef[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { layer } of heads) counts.set(layer, (counts.get(layer) ?? 0) + 1);
  return counts;
}

function setName(heads: readonly HeadRef[]): string {
  return heads.map(formatHead).sort().join();
}
