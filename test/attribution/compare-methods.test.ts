import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { agreement } from "../../packages/keyheads/src/attribution/agreement.ts";
import { compareMethods } from "../../packages/keyheads/src/attribution/compare-methods.ts";
import { writeGroundTruth } from "../../packages/keyheads/src/ground-truth/make.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { numberClusters } from "../../packages/keyheads/src/statistics/bootstrap.ts";
import { readItems } from "../../packages/keyheads/src/tasks/items.ts";

it("agreement: a copy agrees, its negative in size alone, a reversal at the top not", () => {
  const clusters = numberClusters(["a", "b", "b", "c"]);
  const senders = Array.from({ length: 20 }, (_, s) =>
    Float64Array.from([20 - s, 22 - s, 19 - s, 25 - s]),
  );
  const options = { top: 4, draws: 50 };
  const same = agreement(senders, senders, clusters, options);
  expect(same.rank).toEqual({ mean: 1, low: 1, high: 1 });
  expect(same.overlap).toEqual({ mean: 1, low: 1, high: 1, k: 4, chance: 0.2 });
  expect(same.error).toBe(0);
  const negative = senders.map((values) => values.map((x) => -x));
  const turned = agreement(senders, negative, clusters, options);
  expect(turned.rank.mean).toBe(1);
  expect(turned.sign.mean).toBe(0);
  expect(turned.error).toBe(2);
  const reversed = agreement(senders, [...senders].reverse(), clusters, options);
  expect(reversed.overlap.mean).toBe(0);
  expect(reversed.rank.mean).toBeLessThan(0.4);
  expect(reversed.spearman).toBe(-1);
});

it("agreement: effects that are all zero do not agree by their place", () => {
  const clusters = numberClusters(["a"]);
  const nothing = Array.from({ length: 40 }, () => Float64Array.of(0));
  const { rank, overlap } = agreement(nothing, nothing, clusters, { top: 10, draws: 2 });
  expect(rank.mean).toBeLessThan(0.6);
  expect(overlap.mean).toBeLessThan(0.6);
});

it("judges every method against its own exact answer", async () => {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-compare-"));
  try {
    const out = join(folder, "model");
    await writeGroundTruth("saturated", out, { layers: 2, items: 6, noise: 0.05 });
    using model = await Model.load(out);
    const { vocab, context } = model.spec;
    const items = await readItems(join(out, "items.jsonl"), undefined, { vocab, context });
    const result = await compareMethods(model, items, { draws: 20, top: 2 });
    const found = Object.fromEntries(
      result.estimands.map(({ estimand, methods }) => [
        estimand,
        Object.fromEntries(methods.map((one) => [one.method, one])),
      ]),
    );
    expect(result.estimands.map(({ estimand }) => estimand)).toEqual([
      "activation, END",
      "activation, all positions",
      "path patching",
      "edges",
    ]);
    // One writer: path patching is nearly linear. The selector's gradient has vanished.
    expect(found["path patching"]?.["direct-gradient"]?.overlap.mean).toBeGreaterThanOrEqual(0.5);
    expect(found["path patching"]?.["direct-gradient"]?.error).toBeLessThan(0.3);
    expect(found["activation, all positions"]?.atp?.error).toBeGreaterThan(0.4);
    for (const { methods, of, circuit } of result.estimands) {
      for (const { rank, overlap, seconds } of methods) {
        expect(rank.low).toBeLessThanOrEqual(rank.high);
        expect(overlap.chance).toBeCloseTo(2 / of, 12);
        expect(seconds).toBeGreaterThan(0);
      }
      expect(Number.isFinite(circuit?.cpr)).toBe(true);
    }
    // Exact edges make better circuits than those whose gradient has vanished.
    const edges = result.estimands[3]?.circuit?.cmd as number;
    expect(edges).toBeLessThan(0.1);
    expect(found.edges?.eap?.circuit?.cmd).toBeGreaterThan(edges + 0.1);
    const ragged = items.items.map((item, i) =>
      i > 0 ? item : { ...item, counterfactual: [...(item.counterfactual as number[]), 1] },
    );
    const skipped = await compareMethods(model, ragged, { draws: 5, circuits: false });
    expect(skipped.skipped.map(({ estimand }) => estimand)).toEqual([
      "activation, all positions",
      "edges",
    ]);
    await expect(compareMethods(model, items, { top: 0 })).rejects.toThrow(/top 0/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
