import { describe, expect, it } from "vitest";
import {
  clusterBootstrap,
  clusterDraws,
  numberClusters,
  ratioOfMeans,
} from "../../packages/keyheads/src/statistics/bootstrap.ts";
import { choose, combinations } from "../../packages/keyheads/src/statistics/combinations.ts";
import { maxTSignFlip } from "../../packages/keyheads/src/statistics/max-t.ts";
import {
  chanceJaccard,
  jaccard,
  rankBiasedOverlap,
  ranks,
  spearman,
} from "../../packages/keyheads/src/statistics/overlap.ts";
import { exactMcNemar, pairedBootstrap } from "../../packages/keyheads/src/statistics/paired.ts";
import { quantile } from "../../packages/keyheads/src/statistics/percentile.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { wilson } from "../../packages/keyheads/src/statistics/wilson.ts";

describe("rng", () => {
  it("gives the numbers of the published algorithms, computed with their C code", () => {
    const random = rng(42);
    expect([random.next(), random.next(), random.next()]).toEqual([
      0.15377165265745885, 0.018084542542176507, 0.53489062846834756,
    ]);
  });

  it("draws integers evenly and samples without repeats", () => {
    const random = rng(1);
    const counts = [0, 0, 0];
    for (let i = 0; i < 30_000; ++i) {
      const draw = random.int(3);
      counts[draw] = (counts[draw] as number) + 1;
    }
    // Five standard deviations of a binomial with n = 30,000, p = 1/3.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(410);
    const list = [1, 2, 3, 4, 5, 6];
    expect(random.shuffle(list).toSorted()).toEqual(list);
    expect(new Set(random.sample(list, 4)).size).toBe(4);
    expect(() => random.sample(list, 7)).toThrow(/7 of 6/);
  });

  it("shuffles without preference", () => {
    const first = new Map<string, number>();
    for (let seed = 0; seed < 6000; ++seed) {
      const order = rng(seed).shuffle(["a", "b", "c"]).join("");
      first.set(order, (first.get(order) ?? 0) + 1);
    }
    expect(first.size).toBe(6);
    for (const count of first.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });
});

describe("intervals", () => {
  it("interpolates quantiles as numpy does", () => {
    expect(quantile([1, 2, 4, 8], 0.3)).toBeCloseTo(1.9, 12);
  });

  it("gives Wilson's interval as scipy does", () => {
    const [low, high] = wilson(8, 10);
    expect(low).toBeCloseTo(0.4901624715366418, 12);
    expect(high).toBeCloseTo(0.9433178485456248, 12);
    for (let n = 1; n < 200; ++n) {
      expect(wilson(0, n)[0]).toBe(0);
      expect(wilson(n, n)[1]).toBe(1);
    }
    expect(wilson(0, 0)[1]).toBeNaN();
    expect(wilson(0, 20)[1]).toBeCloseTo(0.16112515805281935, 12);
  });

  it("covers the true mean about as often as it says", () => {
    const random = rng(5);
    let covered = 0;
    for (let trial = 0; trial < 300; ++trial) {
      const values = Float64Array.from({ length: 60 }, () => random.next());
      const clusters = numberClusters(Array.from(values, (_, i) => String(i)));
      const draws = clusterDraws(60, { draws: 300, seed: trial });
      const { low, high } = ratioOfMeans(
        values,
        values.map(() => 1),
        clusters,
        draws,
      );
      if (low <= 0.5 && 0.5 <= high) covered += 1;
    }
    // 95 % nominal; the bootstrap is a little short at n = 60.
    expect(covered / 300).toBeGreaterThan(0.9);
    expect(covered / 300).toBeLessThan(0.99);
  });

  it("draws whole clusters: copies of an item add no certainty", () => {
    const random = rng(3);
    const single = Float64Array.from({ length: 40 }, () => random.next());
    const names = Array.from(single, (_, i) => String(i));
    const tenfold = Float64Array.from({ length: 400 }, (_, i) => single[i % 40] as number);
    const tenNames = Array.from({ length: 400 }, (_, i) => String(i % 40));
    const mean = (values: Float64Array) => values.reduce((a, b) => a + b) / values.length;
    const once = clusterBootstrap(single, names, mean, { seed: 9 });
    const often = clusterBootstrap(tenfold, tenNames, mean, { seed: 9 });
    expect(often.high - often.low).toBeCloseTo(once.high - once.low, 10);
    const separate = Array.from(tenfold, (_, i) => String(i));
    const wrong = clusterBootstrap(tenfold, separate, mean, { seed: 9 });
    expect(wrong.high - wrong.low).toBeLessThan(0.5 * (once.high - once.low));
  });

  it("agrees with the general bootstrap on a ratio, item by item", () => {
    const top = Float64Array.of(1, 5, 2, 8, 4, 4);
    const bottom = Float64Array.of(2, 6, 3, 9, 5, 6);
    const names = ["a", "a", "b", "b", "c", "c"];
    const clusters = numberClusters(names);
    const fast = ratioOfMeans(top, bottom, clusters, clusterDraws(3, { draws: 500, seed: 4 }));
    const index = Float64Array.from(top, (_, i) => i);
    const ratio = (items: Float64Array) => {
      const add = (values: Float64Array) => items.reduce((s, i) => s + (values[i] as number), 0);
      return add(top) / add(bottom);
    };
    const slow = clusterBootstrap(index, names, ratio, { draws: 500, seed: 4 });
    expect(fast.estimate).toBeCloseTo(slow.estimate, 14);
    expect(fast.low).toBeCloseTo(slow.low, 14);
    expect(fast.high).toBeCloseTo(slow.high, 14);
  });

  it("leaves NaN items out of numerator and denominator", () => {
    const clusters = numberClusters(["a", "b", "c"]);
    const draws = clusterDraws(3);
    const { estimate } = ratioOfMeans(
      Float64Array.of(1, Number.NaN, 3),
      Float64Array.of(1, 1, 1),
      clusters,
      draws,
    );
    expect(estimate).toBe(2);
  });
});

describe("paired tests", () => {
  it("gives the exact binomial p-value, as scipy does", () => {
    expect(exactMcNemar(3, 12)).toBeCloseTo(0.03515625, 12);
    expect(exactMcNemar(60, 40)).toBeCloseTo(0.05688793364098089, 10);
    expect(exactMcNemar(0, 0)).toBe(1);
    expect(exactMcNemar(5, 5)).toBe(1);
    expect(exactMcNemar(2000, 1000)).toBeLessThan(1e-70);
  });

  it("finds a paired difference that unpaired noise would hide", () => {
    const random = rng(8);
    const before = Float64Array.from({ length: 50 }, () => 10 * random.next());
    const after = before.map((value) => value + 0.1);
    const { estimate, low, high } = pairedBootstrap(before, after, Array.from(before, String));
    expect(estimate).toBeCloseTo(0.1, 12);
    expect(low).toBeCloseTo(0.1, 10);
    expect(high).toBeCloseTo(0.1, 10);
  });
});

describe("max-T", () => {
  it("finds the one real effect among noise, and holds the error over all of them", () => {
    let falsely = 0;
    for (let trial = 0; trial < 100; ++trial) {
      const random = rng(trial);
      const noise = () => Float64Array.from({ length: 40 }, () => random.next() - 0.5);
      const effects = [noise().map((x) => x + 0.4), ...Array.from({ length: 19 }, noise)];
      const clusters = numberClusters(Array.from({ length: 40 }, (_, i) => String(i)));
      const p = maxTSignFlip(effects, clusters, { draws: 200, seed: trial });
      expect(p[0]).toBeLessThan(0.05);
      if (p.slice(1).some((value) => value < 0.05)) falsely += 1;
    }
    // Expected 5 of 100, standard deviation 2.2.
    expect(falsely).toBeLessThan(14);
  });

  it("enumerates all flips of few clusters", () => {
    const clusters = numberClusters(["a", "b", "c"]);
    const [p] = maxTSignFlip([Float64Array.of(1, 2, 3)], clusters);
    expect(p).toBe(2 / 8);
    expect(maxTSignFlip([new Float64Array(3)], clusters)[0]).toBe(1);
  });
});

describe("overlap", () => {
  it("compares sets and says what chance gives", () => {
    expect(jaccard(["1.1", "2.2"], ["2.2", "3.3"])).toBeCloseTo(1 / 3, 14);
    expect(chanceJaccard(10, 6, 48)).toBeCloseTo(0.08934954673597148, 12);
    expect(chanceJaccard(5, 5, 5)).toBeCloseTo(1, 12);
  });

  it("correlates ranks with ties, as scipy does", () => {
    expect(spearman([1, 2, 2, 5, 3], [3, 1, 4, 9, 5])).toBeCloseTo(0.8207826816681234, 12);
    expect([...ranks([3, 1, 3])]).toEqual([2.5, 1, 2.5]);
  });

  it("weighs the top of a ranking most", () => {
    const order = ["a", "b", "c", "d", "e", "f"];
    expect(rankBiasedOverlap(order, order)).toBeCloseTo(1, 12);
    const topSwapped = rankBiasedOverlap(order, ["c", "b", "a", "d", "e", "f"]);
    const bottomSwapped = rankBiasedOverlap(order, ["a", "b", "c", "f", "e", "d"]);
    expect(bottomSwapped).toBeGreaterThan(topSwapped);
    expect(rankBiasedOverlap(["a", "b"], ["c", "d"])).toBe(0);
  });
});

it("enumerates subsets", () => {
  expect(combinations(["a", "b", "c"], 2)).toEqual([
    ["a", "b"],
    ["a", "c"],
    ["b", "c"],
  ]);
  expect(combinations([1, 2], 0)).toEqual([[]]);
  expect(combinations(Array.from({ length: 16 }), 3)).toHaveLength(choose(16, 3));
  expect(choose(1024, 2)).toBe(523_776);
});
