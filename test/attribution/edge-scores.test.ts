// Edges by gradients beside their plain twin: the same runs with whole gradients, and loops.
import { describe, expect, it } from "vitest";
import type { Metric } from "../../packages/keyheads/src/attribution/approximate/metric.ts";
import {
  type EapOptions,
  edgeAttribution,
} from "../../packages/keyheads/src/attribution/edges/eap.ts";
import { effectOf } from "../../packages/keyheads/src/attribution/effects.ts";
import type { Pair } from "../../packages/keyheads/src/attribution/pairs.ts";
import {
  emptyReading,
  pairReadout,
  storeReading,
} from "../../packages/keyheads/src/attribution/reading.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { ids, loadFixture } from "../engine/fixtures.ts";
import { plainEdges } from "./plain-edges.ts";

/** Of the largest; measured: 4e-12 and 2e-5. */
const rounding = { f64: 4e-11, f32: 2e-4 } as const;

async function metricsOf(model: Model): Promise<Metric[]> {
  const { vocab } = model.spec;
  const pairs = [5, 3, 7].map(
    (length, n): Pair => ({
      reference: ids(length, vocab, n),
      counterfactual: ids(length, vocab, n + 20),
      ...{ answer: n, counterfactualAnswer: n + 7, cluster: String(n), item: {} as never },
    }),
  );
  const reference = emptyReading(pairs.length);
  const sequences = pairs.map((pair) => pair.reference);
  const run = await model.forward({ sequences, readout: pairReadout(pairs, true) });
  storeReading(reference, 0, run, 0, pairs.length);
  const guard = { logit: 0.01, probability: 1e-9 };
  return (["logit-difference", "logprob"] as const).map((name) => ({
    ...{ pairs, effect: effectOf(name, true), guard, reference },
  }));
}

async function compare(model: Model, dtype: "f32" | "f64", options: EapOptions): Promise<void> {
  const metrics = await metricsOf(model);
  const found = await edgeAttribution(model, metrics, options, {});
  for (const [m, metric] of metrics.entries()) {
    const expected = await plainEdges(model, metric, options);
    const size = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expect(size).toBeGreaterThan(1e-5);
    const off = expected.map((x, i) => Math.abs(x - (found[m]?.[i] as number)) / size);
    expect(off.reduce((a, b) => Math.max(a, b))).toBeLessThan(rounding[dtype]);
  }
}

const ways = ["none", "inputs", "activations"] as const;
const models = ["llama-gqa", "gpt2", "norms on both sides, caps, windows", "mixtral"];

describe.each(models)("%s", (name) => {
  it.each(ways)("interpolate %s, f64", async (interpolate) => {
    using model = await loadFixture(name, "f64");
    for (const positions of ["all", "end"] as const) {
      await compare(model, "f64", { interpolate, steps: 2, positions });
    }
  });
});

describe("llama-gqa", () => {
  it.each(ways)("interpolate %s, f32", async (interpolate) => {
    using model = await loadFixture("llama-gqa", "f32");
    await compare(model, "f32", { interpolate, steps: 2, positions: "all" });
  });
});
