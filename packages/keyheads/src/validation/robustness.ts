// Do the same heads come out whatever was decided on the way? Key heads by effect, by method, by what
// is put in place of a head, by counterfactual and by template, each beside those of the base.
import { performance } from "node:perf_hooks";
import { allHeads, componentName } from "../attribution/component.ts";
import { identify } from "../attribution/identify.ts";
import type { IdentifyOptions } from "../attribution/options.ts";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import type { IdentifyResult, RobustnessResult, RobustnessRow } from "../results.ts";
import { mean } from "../statistics/bootstrap.ts";
import { groupBy } from "../statistics/group-by.ts";
import { chanceJaccard, jaccard, rankBiasedOverlap } from "../statistics/overlap.ts";
import type { Item } from "../tasks/items.ts";
import type { Ablation, Items } from "./options.ts";
import { SetMeter } from "./set-meter.ts";

export interface RobustnessOptions extends CallOptions {
  /** Key heads of every row; by default as many as the base has by the threshold, at least 3. */
  readonly top?: number;
  readonly onlyCorrect?: boolean;
  /** Templates with fewer items are left out; 10. */
  readonly leastItems?: number;
  readonly seed?: number;
}

interface Variant {
  readonly dimension: RobustnessRow["dimension"];
  readonly value: string;
  readonly items: readonly Item[];
  /** All heads, most harmful first. */
  rank(items: readonly Item[]): Promise<readonly string[]>;
}

/** Throws BAD_ITEMS where the base has no pairs. What a row cannot do is its `why`. */
export async function robustness(
  model: Model,
  items: Items,
  options: RobustnessOptions = {},
): Promise<RobustnessResult> {
  const started = performance.now();
  const { onlyCorrect = false, leastItems = 10, seed = 0, signal } = options;
  const list = itemsOf(items);
  const call: CallOptions = signal ? { signal } : {};
  const patch = (some: readonly Item[], more: IdentifyOptions = {}) =>
    identify(model, some, { ...call, seed, onlyCorrect, draws: 1, senders: ["heads"], ...more });
  const base = await patch(list);
  const top = options.top ?? Math.max(3, base.keyHeads.length);
  const ranking = (result: IdentifyResult) => result.ranking ?? [];
  const by = (more: IdentifyOptions) => async (some: readonly Item[]) =>
    ranking(await patch(some, more));
  const own = ranking(base);
  const keys = own.slice(0, top);

  const templates = [...groupBy(list, ({ template }) => template)].filter(
    ([name, group]) => name !== undefined && group.length >= leastItems,
  );
  const variants: Variant[] = [
    ...(["logprob", "prob", "logit", "relative-logit", "ie"] as const).map((effect) => ({
      ...{ dimension: "effect" as const, value: effect, items: list, rank: by({ effect }) },
    })),
    {
      ...{ dimension: "method", value: "path patching, MLPs frozen", items: list },
      rank: by({ mlpPath: "freeze" }),
    },
    {
      ...{ dimension: "method", value: "activation patching at END", items: list },
      rank: by({ method: "activation" }),
    },
    ...(["mean", "zero", "resample"] as const).map((ablation) => ({
      ...{ dimension: "ablation" as const, value: ablation, items: list },
      rank: (some: readonly Item[]) => byAblation(model, some, ablation, { ...call, seed }),
    })),
    {
      ...{ dimension: "counterfactual", value: "another prompt", items: list },
      rank: by({ counterfactual: "random-other" }),
    },
    ...(templates.length > 1 ? templates : []).map(([name, group]) => ({
      ...{ dimension: "template" as const, value: name as string, items: group, rank: by({}) },
    })),
  ];
  const rows: RobustnessRow[] = [];
  const all = model.spec.layers * model.spec.heads;
  for (const [done, { dimension, value, items: some, rank }] of variants.entries()) {
    const row = { dimension, value, items: some.length };
    try {
      const found = await rank(some);
      const heads = found.slice(0, top);
      rows.push({
        ...row,
        keyHeads: heads,
        jaccard: jaccard(keys, heads),
        chance: chanceJaccard(keys.length, heads.length, all),
        rank: rankBiasedOverlap(own, found),
      });
    } catch (error) {
      if (!(error instanceof KeyheadsError && error.code === "BAD_ITEMS")) throw error;
      rows.push({ ...row, keyHeads: [], why: error.message });
    }
    options.onProgress?.(done + 1, variants.length);
  }
  const usable = rows.filter(({ why }) => why === undefined);
  const counts = new Map<string, number>();
  for (const head of [...keys, ...usable.flatMap(({ keyHeads }) => keyHeads)]) {
    counts.set(head, (counts.get(head) ?? 0) + 1);
  }
  return {
    items: { used: list.length, dropped: droppedOf(items) },
    ...{ top, effect: base.effect, keyHeads: keys, rows },
    heads: [...counts]
      .map(([head, count]) => ({ head, rows: count, share: count / (usable.length + 1) }))
      .sort((a, b) => b.rows - a.rows),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Heads by what removing each one alone at END costs. */
async function byAblation(
  model: Model,
  items: readonly Item[],
  ablation: Ablation,
  options: CallOptions & { readonly seed: number },
): Promise<string[]> {
  const heads = allHeads(model.spec);
  const settings = { ...options, ablation, positions: "end" } as const;
  const meter = await SetMeter.open(model, items, undefined, settings);
  const values = (await meter.measure(heads.map((head) => [head]))).map(mean);
  return [...heads.keys()]
    .sort((a, b) => (values[a] as number) - (values[b] as number))
    .map((i) => componentName(heads[i] as (typeof heads)[number]));
}
