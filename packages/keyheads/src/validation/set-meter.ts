// The metric with a set of heads and MLPs removed. Each set is run once, however often it is asked for.
import { type Component, componentName } from "../attribution/component.ts";
import { clusterOf, itemsOf } from "../attribution/pairs.ts";
import type { Model } from "../model.ts";
import { type Case, casesOf } from "./cases.ts";
import {
  chooseMetric,
  levelsOf,
  type Meter,
  type Metric,
  type MetricName,
  readoutOf,
} from "./meter.ts";
import type { AblationOptions, Items } from "./options.ts";
import { type Measured, Remembered } from "./remembered.ts";
import { prepareSweep, type SetSweep } from "./sweep-sets.ts";

/** Sets that one sweep holds. */
const mostSets = 512;

export class SetMeter implements Meter<Component> {
  readonly metric: MetricName;
  readonly description: string;
  readonly clusters: readonly string[];
  readonly #cases: readonly Case[];
  readonly #sweep: SetSweep;
  readonly #metric: Metric;
  readonly #known = new Remembered<readonly Component[]>((sets) => this.#runAll([...sets]));

  private constructor(items: Items, cases: readonly Case[], sweep: SetSweep, metric: Metric) {
    this.metric = metric.name;
    this.description = sweep.description;
    this.clusters = itemsOf(items).map(clusterOf);
    this.#cases = cases;
    this.#sweep = sweep;
    this.#metric = metric;
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
    const chosen = chooseMetric(metric, cases);
    return new SetMeter(items, cases, await prepareSweep(model, cases, over, options), chosen);
  }

  async measure(removed: readonly (readonly Component[])[]): Promise<Float64Array[]> {
    return await this.#known.get(removed.map((set) => [keyOf(set), set]));
  }

  async #runAll(sets: readonly Keyed[]): Promise<Measured[]> {
    const measured: Measured[] = [];
    for (let start = 0; start < sets.length; start += mostSets) {
      measured.push(...(await this.#run(sets.slice(start, start + mostSets))));
    }
    return measured;
  }

  async #run(sets: readonly Keyed[]): Promise<Measured[]> {
    const values = sets.map(() => new Float64Array(this.#cases.length));
    await this.#sweep.run(
      sets.map(([, set]) => set),
      (chunk) => readoutOf(this.#metric, chunk),
      (start, chunk, { variants }) => {
        for (const [v, into] of values.entries()) {
          into.set(levelsOf(this.#metric, variants, v * chunk.length, chunk.length), start);
        }
      },
    );
    return sets.map(([key], v) => [key, values[v] as Float64Array]);
  }
}

type Keyed = readonly [key: string, set: readonly Component[]];

function keyOf(set: readonly Component[]): string {
  return set.map(componentName).sort().join();
}
