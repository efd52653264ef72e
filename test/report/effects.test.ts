import { describe, expect, it } from "vitest";
import { componentValue, effectView } from "../../packages/report/src/effects.ts";
import type { IdentifyResult } from "../../packages/report/src/results.ts";
import { sampleRun } from "./sample.ts";

function direct(change: Partial<IdentifyResult>): IdentifyResult {
  const [first] = sampleRun({ layers: 2, heads: 2 }).experiments;
  if (!first) throw new Error("the sample has experiments");
  return {
    ...first.direct,
    totalEffect: -2,
    heads: [
      [-1, 0.2],
      [-0.1, 0],
    ],
    headShares: [
      [0.5, -0.1],
      [0.05, 0],
    ],
    headCI: [
      [
        [-1.2, -0.8],
        [0.1, 0.3],
      ],
      [
        [-0.2, 0],
        [-0.1, 0.1],
      ],
    ],
    mlps: [0, -1.8],
    mlpShares: [0, 0.9],
    mlpCI: [
      [-0.1, 0.1],
      [-2, -1.6],
    ],
    keyHeads: ["0.0"],
    keyMlps: [1],
    ...change,
  };
}

describe("effectView", () => {
  it("reads shares, positive where the component helps", () => {
    const view = effectView(direct({}));
    expect(view.unit).toBe("share");
    expect(view.ranked.map((c) => c.name).slice(0, 4)).toEqual(["MLP 1", "0.0", "0.1", "1.0"]);
    expect(view.ranked[1]).toMatchObject({ value: 0.5, key: true, interval: [0.4, 0.6] });
    expect(view.ranked[2]?.interval?.[0]).toBeCloseTo(-0.15);
  });

  it("falls back to the effect itself where the total effect is no scale", () => {
    const view = effectView(direct({ totalEffect: 1e-6, headShares: [[5e5]], mlpShares: [9e5] }));
    expect(view.unit).toBe("effect");
    expect(view.headValues[0]?.[0]).toBe(1);
    expect(view.ranked.find((c) => c.name === "0.0")?.interval).toEqual([0.8, 1.2]);
  });

  it("has no value for a component that is not there", () => {
    const view = effectView(direct({}));
    const [top] = view.ranked;
    if (!top) throw new Error("the view has components");
    const other = effectView(direct({ mlpShares: [], mlps: [] }));
    expect(componentValue(view, top)).toBe(0.9);
    expect(componentValue(other, top)).toBeUndefined();
  });
});
