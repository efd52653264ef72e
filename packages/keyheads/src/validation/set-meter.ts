// The metric of a task, item by item, with a set of heads and MLPs removed. Each set is run once,
// however often it is asked for.
import { type Component, componentName } from "../attribution/component.ts";
import { type Effect, effectOf } from "../attribution/effects.ts";
import { clusterOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { EffectName } from "../results.ts";
import { mean } from "../statistics/bootstrap.ts";
import { type Case, casesOf } from "./cases.ts";
import type { AblationOptions, Items } from "./options.ts";
import { prepareSweep, type SetSweep } from "./sweep-sets.ts";

/** Metrics that are a level of one run, so that sets can be compared with each other. */
export type MetricName = Extract<EffectName, "logit-difference" | "logprob" | "logit" | "prob">;

/** Sets that one sweep holds. */
const mostSets = 512;

export class SetMeter {
  readonly metric: MetricName;
  /** What removed components are replaced by. */
  readonly description: string;
  readonly clusters: readonly string[];
  readonly #cases: readonly Case[];
  readonly #sweep: SetSweep;
  readonly #effect: Effect;
  readonly #known = new Map<string, Float64Array>();

  private constructor(items: Items, cases: readonly Case[], sweep: SetSweep, effect: Effect) {
    this.metric = effect.name as MetricName;
    this.description = sweep.description;
    this.clusters = itemsOf(items).map(clusterOf);
    this.#cases = cases;
    this.#sweep = sweep;
    this.#effect = effect;
  }

  /** Throws BAD_ITEMS where the metric needs a counterfactual's answer that an item lacks. */
  static async open(
    model: Model,
    items: Items,
    metric: MetricName | undefined,
    options: AblationOptions,
  ): Promise<SetMeter> {
    const cases = casesOf(items, "target", "task");
    const over = options.meanOver ? casesOf(options.meanOver, "target", "mean-over") : cases;
    const without = cases.find(({ other }) => other === undefined);
    const effect = effectOf(metric ?? (without ? "logprob" : "logit-difference"), !without);
    if (!effect.level) {
      throw new KeyheadsError("BAD_ARGUMENT", `${effect.name} is no level of one run; use logprob`);
    }
    if (effect.needsOther && without) {
      throw new KeyheadsError(
        "BAD_ITEMS",
        `${without.name} has no counterfactual answer, which ${effect.name} needs; use logprob`,
      );
    }
    return new SetMeter(items, cases, await prepareSweep(model, cases, over, options), effect);
  }

  /** Mean metrics with each set removed. */
  async means(removed: readonly (readonly Component[])[]): Promise<number[]> {
    return (await this.measure(removed)).map(mean);
  }

  /** Metrics of all items with each set removed; the empty set is the model as it is. */
  async measure(removed: readonly (readonly Component[])[]): Promise<Float64Array[]> {
    const missing = new Map<string, readonly Component[]>();
    for (const set of removed) if (!this.#known.has(keyOf(set))) missing.set(keyOf(set), set);
    const sets = [...missing];
    for (let start = 0; start < sets.length; start += mostSets) {
      await this.#run(sets.slice(start, start + mostSets));
    }
    return removed.map((set) => this.#known.get(keyOf(set)) as Float64Array);
  }

  async #run(sets: readonly (readonly [string, readonly Component[]])[]): Promise<void> {
    const { needsLogsumexp } = this.#effect;
    const level = this.#effect.level as NonNullable<Effect["level"]>;
    const values = sets.map(() => new Float64Array(this.#cases.length));
    await this.#sweep.run(
      sets.map(([, set]) => set),
      (chunk) => ({
        logits: "tokens",
        tokens: Int32Array.from(chunk.flatMap(({ answer, other }) => [answer, other ?? answer])),
        logsumexp: needsLogsumexp,
      }),
      (start, chunk, { variants: { logits, logsumexp } }) => {
        for (const [v, into] of values.entries()) {
          for (let i = 0; i < chunk.length; ++i) {
            const row = v * chunk.length + i;
            into[start + i] = level({
              answer: logits?.[2 * row] as number,
              other: logits?.[2 * row + 1] as number,
              logsumexp: logsumexp?.[row] ?? Number.NaN,
            });
          }
        }
      },
    );
    for (const [v, [key]] of sets.entries()) this.#known.set(key, values[v] as Float64Array);
  }
}

function keyOf(set: readonly Component[]): string {
  return set.map(componentName).sort().join();
}
