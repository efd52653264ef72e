// The metric with a set of edges removed: what they carry is what the sender writes on the item's own
// X_c, at every position. Each set is run once, however often it is asked for.
import { createHash } from "node:crypto";
import type { CircuitMasks } from "../attribution/edges/circuit-graph.ts";
import { CircuitRuns } from "../attribution/edges/circuit-run.ts";
import { clusterOf, itemsOf } from "../attribution/pairs.ts";
import type { CallOptions, Model } from "../model.ts";
import { type Case, casesOf } from "./cases.ts";
import type { EdgeSpace } from "./edge-space.ts";
import {
  chooseMetric,
  levelsOf,
  type Meter,
  type Metric,
  type MetricName,
  readoutOf,
} from "./meter.ts";
import type { EdgeCircuitOptions, Items } from "./options.ts";
import { type Measured, Remembered } from "./remembered.ts";
import { ownCounterfactuals } from "./replacement.ts";

/** Numbers that the plain runs of a chunk of items leave behind, at most. */
const mostNumbers = 2 ** 24;

const remedy =
  "edges carry its values at every position: write a counterfactual of the same length";

export class EdgeMeter implements Meter<string> {
  readonly metric: MetricName;
  readonly description = "each prompt's own counterfactual";
  readonly clusters: readonly string[];
  readonly #model: Model;
  readonly #space: EdgeSpace;
  readonly #cases: readonly Case[];
  readonly #counterfactuals: readonly (readonly number[])[];
  readonly #metric: Metric;
  readonly #call: CallOptions;
  readonly #known = new Remembered<CircuitMasks>((circuits) => this.#run(circuits));

  /**
   * Throws BAD_ITEMS for items without a counterfactual of the prompt's length, or without what the
   * metric needs.
   */
  constructor(model: Model, items: Items, space: EdgeSpace, options: EdgeCircuitOptions) {
    this.#model = model;
    this.#space = space;
    this.#cases = casesOf(items, "target", "task");
    this.#counterfactuals = ownCounterfactuals(this.#cases, "all", remedy);
    this.#metric = chooseMetric(options.metric, this.#cases);
    this.#call = options.signal ? { signal: options.signal } : {};
    this.metric = this.#metric.name;
    this.clusters = itemsOf(items).map(clusterOf);
  }

  async measure(removed: readonly (readonly string[])[]): Promise<Float64Array[]> {
    const circuits = removed.map((set) => this.#space.masksWithout(set));
    return await this.#known.get(circuits.map((masks) => [hash(masks), masks]));
  }

  async #run(circuits: ReadonlyMap<string, CircuitMasks>): Promise<Measured[]> {
    const values = new Map([...circuits.keys()].map((key) => [key, [] as number[]]));
    for (const { start, stop } of this.#chunks()) {
      const cases = this.#cases.slice(start, stop);
      const runs = await CircuitRuns.of(
        this.#model,
        cases.map(({ sequence }) => sequence),
        this.#counterfactuals.slice(start, stop),
        this.#call,
      );
      const readout = readoutOf(this.#metric, cases);
      for (const [key, masks] of circuits) {
        const result = await runs.run(masks, readout);
        values.get(key)?.push(...levelsOf(this.#metric, result, 0, cases.length));
      }
    }
    return [...values].map(([key, levels]) => [key, Float64Array.from(levels)]);
  }

  /** Items that run together. */
  *#chunks(): Generator<{ start: number; stop: number }> {
    const { layers, heads, dModel } = this.#model.spec;
    const numbers = (one: Case) => one.sequence.length * layers * (heads + 3) * dModel;
    let [start, sum] = [0, 0];
    for (const [i, one] of this.#cases.entries()) {
      if (i > start && sum + numbers(one) > mostNumbers) {
        yield { start, stop: i };
        [start, sum] = [i, 0];
      }
      sum += numbers(one);
    }
    yield { start, stop: this.#cases.length };
  }
}

function hash({ layers, logits }: CircuitMasks): string {
  const sum = createHash("sha256").update(logits);
  for (const { q, k, v, mlp } of layers) {
    for (const mask of [...q, ...k, ...v, mlp]) sum.update(mask);
  }
  return sum.digest("base64");
}
