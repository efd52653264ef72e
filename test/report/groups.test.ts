import { describe, expect, it } from "vitest";
import type {
  KnockoutResult,
  SubsetResult,
  TunedMethod,
} from "../../packages/report/src/results.ts";
import { sizeGroups } from "../../packages/report/src/subset-ranks.ts";
import { proofOf } from "../../packages/report/src/text/summarise.ts";
import { methodGroups, spread } from "../../packages/report/src/tuning-groups.ts";
import { sampleRun } from "./sample.ts";

describe("sizeGroups", () => {
  const set = (heads: string[], accuracy: number, specificDrop?: number) =>
    specificDrop === undefined ? { heads, accuracy } : { heads, accuracy, specificDrop };
  const result: SubsetResult = {
    ablation: "mean",
    baseline: { accuracy: 0.9 },
    sets: [
      set(["0.0"], 0.5, 0.1),
      set(["0.1"], 0.8, 0.3),
      set(["1.0"], 0.9, Number.NaN),
      set(["0.1", "0.0"], 0.4),
    ],
  };

  it("ranks the key heads among the sets of their size, in any order", () => {
    const [one, two] = sizeGroups(result, ["0.0", "0.1"]);
    expect(one?.key).toMatchObject({ drop: 0.1, rank: 2 });
    expect(one?.drops.map((s) => s.heads[0])).toEqual(["0.1", "0.0", "1.0"]);
    expect(two?.key?.rank).toBe(1);
    expect(two?.key?.drop).toBeCloseTo(0.5);
  });

  it("has no rank where the key heads are not among the sets", () => {
    expect(sizeGroups(result, ["9.9"]).map((g) => g.key)).toEqual([undefined, undefined]);
  });
});

describe("methodGroups", () => {
  it("gathers draws, and takes costs only from those that reached the gain", () => {
    const { tuning } = sampleRun({ layers: 4, heads: 4 });
    if (!tuning) throw new Error("the sample has a comparison");
    const draw = (updates: number | null, collateral: number): TunedMethod => {
      const base = tuning.methods.find((m) => m.kind === "random");
      if (!base) throw new Error("the sample has random draws");
      return { ...base, updates, collateral };
    };
    const methods = [draw(4, 1), draw(null, 50), draw(6, 3), draw(20, 2)];
    const [group] = methodGroups({ ...tuning, methods });
    expect(group).toMatchObject({ kind: "random", reached: 3, title: "Random heads, 4 draws" });
    expect(group?.updates).toEqual({ median: 6, low: 4, high: 20 });
    expect(group?.collateral).toEqual({ median: 2, low: 1, high: 3 });
  });

  it("takes the middle of an even number of values", () => {
    expect(spread([4, 1, null, 2, 3])).toEqual({ median: 2.5, low: 1, high: 4 });
    expect(spread([null, undefined])).toBeUndefined();
  });
});

describe("proofOf", () => {
  const [first] = sampleRun({ layers: 4, heads: 4 }).experiments;
  if (!first?.knockout) throw new Error("the sample has a knock-out");
  const experiment = first;
  const sampled = first.knockout;
  const of = (change: Partial<KnockoutResult>) =>
    proofOf({ ...experiment, knockout: { ...sampled, curve, ...change } });
  const band = { k: 1, mean: 0.8, low: 0.6, high: 0.9, draws: 16, exhaustive: true };
  const curve = [
    { k: 0, accuracy: 0.9 },
    { k: 1, added: "0.0", accuracy: 0.62 },
  ];

  it("counts the chosen head among all sets of its size", () => {
    const random = [{ ...band, atMost: 1 / 16 }];
    expect(of({ random })?.beyondRandom).toBe(true);
    const drawn = [{ ...band, draws: 200, exhaustive: false, atMost: 1 / 16 }];
    expect(of({ random: drawn })?.beyondRandom).toBe(false);
  });

  it("stops where the key heads are gone, and names what is removed", () => {
    const longer = [
      ...curve,
      { k: 2, added: "0.1", accuracy: 0.5 },
      { k: 3, added: "0.2", accuracy: 0.4 },
    ];
    const direct = { ...experiment.direct, keyHeads: ["0.0", "0.1"] };
    const knockout = { ...sampled, curve: longer };
    expect(proofOf({ ...experiment, direct, knockout })).toMatchObject({
      point: { k: 2 },
      removed: ["0.0", "0.1"],
    });
    const one = { ...experiment.direct, keyHeads: ["0.0"] };
    expect(proofOf({ ...experiment, direct: one, knockout })?.point.k).toBe(3);
  });

  it("falls back to the band, and knows when there is none", () => {
    expect(of({ random: [band] })?.beyondRandom).toBe(false);
    expect(of({ random: [] })?.beyondRandom).toBeUndefined();
    expect(of({ curve: [], random: [] })).toBeUndefined();
  });
});
