import { describe, expect, it } from "vitest";
import { headType } from "../../packages/keyheads/src/analysis/head-type.ts";
import { mlpPhases } from "../../packages/keyheads/src/analysis/mlp-phases.ts";
import { rolesOfItem } from "../../packages/keyheads/src/analysis/token-roles.ts";
import { cosine } from "../../packages/keyheads/src/analysis/unembedding.ts";
import { outputGram, outputNorm } from "../../packages/keyheads/src/analysis/value-norm.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";

describe("types of heads", () => {
  it.each([
    ["operand", { operand1: 0.3, operand2: 0.4, operator: 0.1, other: 0.2 }],
    ["operator", { operand1: 0.1, operator: 0.6, other: 0.3 }],
    ["mixed", { operand1: 0.4, operator: 0.4, other: 0.2 }],
    ["other", { operand1: 0.2, operator: 0.2, other: 0.6 }],
    // The start token is set aside: of what is left, most is the operands'.
    ["operand", { bos: 0.8, operand1: 0.14, operator: 0.02, other: 0.04 }],
    ["resting", { bos: 0.95, operand1: 0.05, operator: 0 }],
    // Tasks with roles of their own.
    ["subject", { subject: 0.6, object: 0.2, other: 0.2 }],
    ["mixed", { subject: 0.3, object: 0.3, other: 0.4 }],
    ["other", { subject: 0.1, end: 0.9 }],
    ["same_column", { same_column_a: 0.4, same_column_b: 0.3, carry_source_a: 0.3 }],
  ])("%s", (type, shares) => {
    expect(headType(shares as Record<string, number>)).toBe(type);
  });
});

describe("roles of tokens", () => {
  const item = {
    reference: [9, 1, 5, 2, 7],
    roles: { operand1: [1, 2], operator: [2, 3], operand2: [3, 4] },
  } as unknown as Item;

  it("cover every token", () => {
    expect(rolesOfItem(item, 9)).toEqual([
      { role: "operand1", positions: [1] },
      { role: "operator", positions: [2] },
      { role: "operand2", positions: [3] },
      { role: "bos", positions: [0] },
      { role: "end", positions: [4] },
    ]);
    expect(rolesOfItem(item, undefined)).toContainEqual({ role: "other", positions: [0] });
  });
});

describe("phases of MLPs", () => {
  it("are start, steepest rise and end of the way up", () => {
    const curve = [0.0, 0.01, 0.02, 0.1, 0.4, 0.5, 0.52, 0.3];
    expect(mlpPhases(curve, 0)).toEqual({ start: 3, inflection: 4, end: 5 });
  });

  it("do not exist where the answer never comes", () => {
    const none = { start: null, inflection: null, end: null };
    expect(mlpPhases([0.01, 0.02, -0.1], 0)).toEqual(none);
    // It was there before the first MLP.
    expect(mlpPhases([0.5, 0.5], 0.5)).toEqual(none);
  });

  it("are one layer where the answer comes in one step", () => {
    expect(mlpPhases([0.5, 0.5], 0)).toEqual({ start: 0, inflection: 0, end: 0 });
    expect(mlpPhases([0, 0, 0.9], 0)).toEqual({ start: 2, inflection: 2, end: 2 });
  });
});

it("measures |v W_O| of one head as the product itself does", () => {
  const random = rng(4);
  const [dModel, heads, dHead, head] = [10, 3, 4, 1] as const;
  const wo = Float64Array.from({ length: dModel * heads * dHead }, () => random.next() - 0.5);
  const v = Float64Array.from({ length: 9 }, () => random.next() - 0.5);
  const written = Array.from({ length: dModel }, (_, d) => {
    let sum = 0;
    for (let e = 0; e < dHead; ++e) {
      sum += (wo[d * heads * dHead + head * dHead + e] as number) * (v[5 + e] as number);
    }
    return sum;
  });
  expect(outputNorm(outputGram(wo, heads, dHead, head), v, 5)).toBeCloseTo(
    Math.hypot(...written),
    12,
  );
});

it("takes cosines", () => {
  expect(cosine([1, 0], [2, 2])).toBeCloseTo(Math.SQRT1_2, 14);
  expect(cosine([0, 0], [1, 2])).toBe(0);
});
