// The methods that are compared at matched gain: the key heads, random heads, the heads with the
// least effect, MLPs, everything.
import type { HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import type { TunedMethod } from "../results.ts";
import { layerMatchedDraws, plainDraws } from "./draws.ts";
import { formatHeads, type Selection } from "./selection.ts";

export interface GainMethod {
  readonly name: string;
  readonly title: string;
  readonly kind: TunedMethod["kind"];
  readonly select: Selection;
  /** Of the order of the items. */
  readonly seed: number;
}

export interface GainMethodOptions {
  readonly key: readonly HeadRef[];
  /** Random sets; 20 by default, fewer than 20 cannot support a claim. */
  readonly draws?: number;
  readonly lowest?: readonly HeadRef[];
  readonly mlps?: readonly number[];
  readonly full?: boolean;
  readonly seed?: number;
}

/**
 * Random sets have as many heads of every layer as the key heads. Where there are fewer such sets
 * than `draws`, sets of as many heads of any layers fill up, and their title says so.
 */
export function gainMethods(
  spec: { readonly layers: number; readonly heads: number },
  options: GainMethodOptions,
): GainMethod[] {
  const { key, draws = 20, lowest, mlps = [], full = false, seed = 0 } = options;
  if (key.length === 0) throw new KeyheadsError("USAGE", "there are no key heads to compare");
  const matched = layerMatchedDraws(key, spec, { count: draws, seed });
  const taken = new Set(matched.map(setName));
  const plain = plainDraws(key, spec, { count: draws, seed })
    .filter((heads) => !taken.has(setName(heads)))
    .slice(0, draws - matched.length);
  const listed = (heads: readonly HeadRef[]) => formatHeads(heads).join(", ");
  const methods: GainMethod[] = [
    { name: "key", title: `key heads ${listed(key)}`, kind: "key", select: { heads: key }, seed },
  ];
  for (const [index, heads] of [...matched, ...plain].entries()) {
    const where = index < matched.length ? "the same layers" : "any layers";
    methods.push({
      name: `random-${index + 1}`,
      title: `random heads of ${where}: ${listed(heads)}`,
      kind: "random",
      select: { heads },
      seed,
    });
  }
  if (lowest && lowest.length > 0) {
    methods.push({
      name: "lowest",
      title: `heads with the least effect: ${listed(lowest)}`,
      kind: "lowest",
      select: { heads: lowest },
      seed,
    });
  }
  if (mlps.length > 0) {
    methods.push({
      name: "mlp",
      title: `MLP${mlps.length > 1 ? "s" : ""} ${mlps.join(", ")}`,
      kind: "mlp",
      select: { mlps },
      seed,
    });
  }
  if (full) {
    methods.push({
      name: "full",
      title: "all weights",
      kind: "full",
      select: { everything: true },
      seed,
    });
  }
  return methods;
}

function setName(heads: readonly HeadRef[]): string {
  return formatHeads(heads).sort().join();
}
