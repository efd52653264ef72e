// Are the heads of one task those of another? Key heads are found on every set of items; then every
// pair of sets is compared: overlap beside its chance value, agreement of rankings, and what is left
// of one task without the other's heads, beside random sets of the same size.
import { performance } from "node:perf_hooks";
import type { HeadRef } from "../attribution/component.ts";
import { identify } from "../attribution/identify.ts";
import type { IdentifyOptions } from "../attribution/options.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { IdentifyResult, RandomBand, TransferResult } from "../results.ts";
import { chanceJaccard, jaccard, rankBiasedOverlap } from "../statistics/overlap.ts";
import { rng } from "../statistics/rng.ts";
import type { ItemSet } from "../tasks/items.ts";
import { parseHeads } from "../tuning/selection.ts";
import { type Accuracies, ablate } from "./ablate.ts";
import type { AblationOptions } from "./options.ts";
import { randomBand } from "./random-band.ts";
import { type RandomSets, randomSets } from "./random-sets.ts";
import { type Division, divide } from "./split.ts";
import { VariantList } from "./variant-list.ts";

/** A task as one model is asked it. */
export interface TransferEntry {
  readonly model: Model;
  readonly set: ItemSet;
}

export interface TransferOptions
  extends Pick<AblationOptions, "ablation" | "positions" | "align" | "answer" | "signal">,
    Pick<IdentifyOptions, "top" | "threshold" | "significance" | "effect" | "onlyCorrect"> {
  readonly seed?: number;
  /** Random sets for every size; 200. */
  readonly random?: number;
  readonly layerMatched?: boolean;
  /** Find and remove on the same items, instead of on two parts without a common cluster. */
  readonly sameItems?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Matrices over sets of items, and over models if entries have several. Throws BAD_ARGUMENT for
 * fewer than two entries or models of different numbers of layers or heads, BAD_ITEMS where a set
 * cannot be divided into discovery and evaluation.
 */
export async function transfer(
  entries: readonly TransferEntry[],
  options: TransferOptions = {},
): Promise<TransferResult> {
  const started = performance.now();
  checkEntries(entries);
  const { seed = 0, random: draws = 200, layerMatched = false, sameItems = false } = options;
  const { ablation = "mean", positions = "all" } = options;
  const spec = (entries[0] as TransferEntry).model.spec;
  const sets = entries.map(({ set }) => set);
  const division: Division = sameItems
    ? {
        by: "none",
        sets: sets.map(({ name, items }) => ({ name, discovery: items, evaluation: items })),
      }
    : divide(sets, seed);
  const steps = 2 * entries.length;

  const found: IdentifyResult[] = [];
  for (const [i, { model }] of entries.entries()) {
    const { discovery } = division.sets[i] as Division["sets"][number];
    found.push(await identify(model, discovery, { ...keyOptions(options), senders: ["heads"] }));
    options.onProgress?.(i + 1, steps);
  }
  const keys = found.map(({ keyHeads }) => keyHeads.flatMap((head) => parseHeads(head)));
  const variants = new VariantList();
  const chosen = keys.map((set) => (set.length > 0 ? variants.add(set) : undefined));
  const bands = drawBands(keys, spec, { draws, layerMatched, seed });
  const drawn = bands.map((band) => band?.sets.map((set) => variants.add(set)) ?? []);

  const runs: Accuracies[] = [];
  for (const [i, { model }] of entries.entries()) {
    const items = division.sets[i]?.evaluation ?? [];
    runs.push(await ablate(model, items, variants.list, undefined, { ...options, seed }, "task"));
    options.onProgress?.(entries.length + i + 1, steps);
  }
  const matrix = <T>(cell: (from: number, on: number) => T) =>
    entries.map((_, from) => entries.map((_, on) => cell(from, on)));
  const size = (i: number) => (keys[i] as HeadRef[]).length;
  const keyHeads = (i: number) => (found[i] as IdentifyResult).keyHeads;
  const ranking = (i: number) => (found[i] as IdentifyResult).ranking ?? [];
  return {
    sets: sets.map(({ name, dropped }, i) => ({
      ...{ name, dropped },
      discovery: division.sets[i]?.discovery.length ?? 0,
      evaluation: division.sets[i]?.evaluation.length ?? 0,
      keyHeads: keyHeads(i),
      baseline: (runs[i] as Accuracies).base,
    })),
    split: division.by,
    ...{ ablation, positions },
    jaccard: matrix((from, on) => jaccard(keyHeads(from), keyHeads(on))),
    chance: matrix((from, on) => chanceJaccard(size(from), size(on), spec.layers * spec.heads)),
    rank: matrix((from, on) => rankBiasedOverlap(ranking(from), ranking(on))),
    accuracy: matrix((from, on) => {
      const run = runs[on] as Accuracies;
      const variant = chosen[from];
      return variant === undefined ? run.base : (run.variants[variant] as number);
    }),
    random: matrix((from, on): RandomBand | null => {
      const variant = chosen[from];
      if (variant === undefined) return null;
      const sets = { k: size(from), chosen: variant, drawn: drawn[from] as number[] };
      const exhaustive = bands[from]?.exhaustive ?? false;
      return randomBand({ ...sets, exhaustive }, runs[on] as Accuracies) ?? null;
    }),
    seconds: (performance.now() - started) / 1000,
  };
}

function keyOptions(options: TransferOptions): IdentifyOptions {
  const { top, threshold, significance, effect, onlyCorrect, signal, seed } = options;
  return {
    ...(top !== undefined && { top }),
    ...(threshold !== undefined && { threshold }),
    ...(significance && { significance }),
    ...(effect && { effect }),
    ...(onlyCorrect !== undefined && { onlyCorrect }),
    ...(signal && { signal }),
    ...(seed !== undefined && { seed }),
  };
}

/** Sets of the same size share their draws, unless layers are matched. */
function drawBands(
  keys: readonly (readonly HeadRef[])[],
  spec: Model["spec"],
  { draws, layerMatched, seed }: { draws: number; layerMatched: boolean; seed: number },
): (RandomSets | undefined)[] {
  const random = rng(seed);
  const known = new Map<string, RandomSets>();
  return keys.map((set) => {
    if (set.length === 0 || draws === 0) return undefined;
    const layers = set.map(({ layer }) => layer).sort((a, b) => a - b);
    const key = layerMatched ? layers.join() : String(set.length);
    const sets = known.get(key) ?? randomSets(spec, set, { draws, layerMatched, random });
    known.set(key, sets);
    return sets;
  });
}

function checkEntries(entries: readonly TransferEntry[]): void {
  const [first, ...others] = entries;
  if (!first || others.length === 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `transfer compares sets of items, but got ${entries.length}; give at least two`,
    );
  }
  const shape = ({ layers, heads }: Model["spec"]) => `${layers} layers of ${heads} heads`;
  for (const { model } of others) {
    if (shape(model.spec) === shape(first.model.spec)) continue;
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${first.model.name} has ${shape(first.model.spec)} and ${model.name} ${shape(model.spec)}: ` +
        "their heads have no common names; compare models of one shape",
    );
  }
}
