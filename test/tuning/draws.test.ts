import { describe, expect, test } from "vitest";
import {
  layerMatchedDraws,
  lowestEffectHeads,
  plainDraws,
  topHeads,
  topMlps,
} from "../../packages/keyheads/src/tuning/draws.ts";
import { gainMethods } from "../../packages/keyheads/src/tuning/gain-methods.ts";
import { formatHeads, parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";

const spec = { layers: 4, heads: 4 };
const names = (sets: readonly ReturnType<typeof parseHeads>[]) =>
  sets.map((s) => formatHeads(s).join());

describe("layer-matched draws", () => {
  test("have as many heads of every layer, are different and not the set itself", () => {
    const key = parseHeads("0.1,2.0,2.3");
    const sets = layerMatchedDraws(key, spec, { count: 20, seed: 5 });
    expect(new Set(names(sets)).size).toBe(20);
    expect(names(sets)).not.toContain("0.1,2.0,2.3");
    for (const set of sets) expect(set.map(({ layer }) => layer)).toEqual([0, 2, 2]);
    expect(layerMatchedDraws(key, spec, { count: 20, seed: 5 })).toEqual(sets);
    expect(layerMatchedDraws(key, spec, { count: 20, seed: 6 })).not.toEqual(sets);
  });

  test("are all of them where there are few", () => {
    const sets = layerMatchedDraws(parseHeads("2.1,2.2,2.3"), spec, { count: 20, seed: 0 });
    expect(names(sets)).toEqual(["2.0,2.1,2.2", "2.0,2.1,2.3", "2.0,2.2,2.3"]);
    const all = parseHeads("1.0,1.1,1.2,1.3");
    expect(layerMatchedDraws(all, spec, { count: 3, seed: 0 })).toEqual([]);
  });

  test("every other set is as likely as any other", () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 1500; ++seed) {
      const [name = ""] = names(layerMatchedDraws(parseHeads("2.1"), spec, { count: 1, seed }));
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    // 500 of 1500 expected of each; 5 standard deviations are 91.
    expect([...counts.keys()].sort()).toEqual(["2.0", "2.2", "2.3"]);
    for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(92);
  });
});

test("plain draws come from all layers", () => {
  const sets = plainDraws(parseHeads("2.1,2.2"), spec, { count: 30, seed: 1 });
  expect(new Set(sets.flat().map(({ layer }) => layer))).toEqual(new Set([0, 1, 2, 3]));
  expect(new Set(names(sets)).size).toBe(30);
  expect(names(sets)).not.toContain("2.1,2.2");
});

test("top and lowest heads follow the sign of effects: negative helps the answer", () => {
  const heads = [
    [0.1, -0.9],
    [-0.02, 0.5],
  ];
  expect(formatHeads(topHeads({ heads }, 2))).toEqual(["0.1", "1.0"]);
  expect(formatHeads(lowestEffectHeads({ heads }, 2))).toEqual(["1.0", "0.0"]);
  expect(topMlps({ mlps: [0.3, -1, -2] }, 2)).toEqual([2, 1]);
});

test("the methods of a comparison: matched sets first, filled up with plain ones", () => {
  const methods = gainMethods(spec, {
    key: parseHeads("2.1,2.2,2.3"),
    draws: 20,
    lowest: parseHeads("1.0"),
    mlps: [2, 3],
    full: true,
  });
  expect(methods.map(({ kind }) => kind)).toEqual([
    "key",
    ...Array.from({ length: 20 }, () => "random"),
    "lowest",
    "mlp",
    "full",
  ]);
  const random = methods.filter(({ kind }) => kind === "random");
  expect(random.filter(({ title }) => title.includes("same layers"))).toHaveLength(3);
  expect(random.filter(({ title }) => title.includes("any layers"))).toHaveLength(17);
  expect(new Set(random.map(({ select }) => JSON.stringify(select))).size).toBe(20);
});
