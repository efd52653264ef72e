// What a comparison on one budget trains: the chosen heads, everything, LoRA on all attention and on the
// chosen heads alone, offsets of the chosen heads, random heads, and as many parameters in MLPs.
import type { HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import { rng } from "../statistics/rng.ts";
import type { LoraOptions } from "./added.ts";
import { plainDraws } from "./draws.ts";
import type { TuneOptions } from "./options.ts";
import { formatHeads, type Neurons, selectSlices } from "./selection.ts";
import { countParameters, type SlotOwner } from "./slots.ts";

export const comparedMethods = [
  "precise",
  "full",
  "lora",
  "lora-heads",
  "offsets",
  "random",
  "mlp",
] as const;
export type ComparedMethod = (typeof comparedMethods)[number];

export interface ComparedRun extends Pick<TuneOptions, "method" | "select" | "lora"> {
  readonly name: string;
  readonly kind: ComparedMethod;
  readonly title: string;
}

export interface ComparedOptions {
  readonly heads: readonly HeadRef[];
  /** Also a key/value group a head, where a model shares them. */
  readonly keyValueGroups?: boolean;
  /** All by default. */
  readonly methods?: readonly ComparedMethod[];
  /** Sets of random heads; 5 by default. */
  readonly draws?: number;
  readonly lora?: LoraOptions;
  readonly seed?: number;
}

export function comparedRuns(model: SlotOwner, options: ComparedOptions): ComparedRun[] {
  const { heads, methods = comparedMethods, draws = 5, keyValueGroups = false, seed = 0 } = options;
  if (heads.length === 0) throw new KeyheadsError("USAGE", "there are no heads to compare");
  const own = { heads, keyValueGroups };
  const lora = options.lora ?? {};
  const count = `${heads.length} head${heads.length === 1 ? "" : "s"}`;
  const runs: Record<ComparedMethod, () => ComparedRun[]> = {
    precise: () => [{ name: "precise", kind: "precise", title: `the ${count}`, select: own }],
    full: () => [
      { name: "full", kind: "full", title: "all weights", select: { everything: true } },
    ],
    lora: () => [
      {
        name: "lora",
        kind: "lora",
        title: "LoRA on attention",
        method: "lora",
        select: {},
        lora,
      },
    ],
    "lora-heads": () => [
      {
        name: "lora-heads",
        kind: "lora-heads",
        title: `LoRA on the ${count}`,
        method: "lora",
        select: own,
        lora,
      },
    ],
    offsets: () => [
      {
        name: "offsets",
        kind: "offsets",
        title: `offsets of the ${count}`,
        method: "offsets",
        select: { heads },
      },
    ],
    random: () =>
      plainDraws(heads, model.spec, { count: draws, seed })
        .slice(0, draws)
        .map((drawn, i) => ({
          name: `random-${i + 1}`,
          kind: "random",
          title: `random heads ${formatHeads(drawn).join(", ")}`,
          select: { heads: drawn, keyValueGroups },
        })),
    mlp: () => [
      {
        name: "mlp",
        kind: "mlp",
        title: "as many parameters in MLPs",
        select: { neurons: neuronsLike(model, own, seed) },
      },
    ],
  };
  return methods.flatMap((method) => runs[method]());
}

/** Neurons in the MLPs of the heads' layers, as many a layer as make up the heads' parameters. */
export function neuronsLike(
  model: SlotOwner,
  selection: { readonly heads: readonly HeadRef[]; readonly keyValueGroups: boolean },
  seed: number,
): Neurons[] {
  const layers = [...new Set(selection.heads.map(({ layer }) => layer))].sort((a, b) => a - b);
  const wanted = countParameters(selectSlices(model, selection));
  const { dMlp } = model.spec;
  const one = { layer: layers[0] ?? 0, start: 0, stop: 1 };
  const each = countParameters(selectSlices(model, { neurons: [one] }));
  const count = Math.min(dMlp, Math.max(1, Math.round(wanted / (each * layers.length))));
  const random = rng(seed);
  return layers.map((layer) => {
    const start = random.int(dMlp - count + 1);
    return { layer, start, stop: start + count };
  });
}
