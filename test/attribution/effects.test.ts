import { describe, expect, it } from "vitest";
import { chooseEffect, effectOf } from "../../packages/keyheads/src/attribution/effects.ts";
import { type Candidate, selectKeys } from "../../packages/keyheads/src/attribution/key-heads.ts";
import { makePairs } from "../../packages/keyheads/src/attribution/pairs.ts";
import { screen } from "../../packages/keyheads/src/attribution/validity.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";

const guard = { logit: 0.01, probability: 1e-9 };
/** Three tokens with logits (C, C', another). */
const run = (answer: number, other: number, third = 0) => ({
  answer,
  other,
  logsumexp: Math.log(Math.exp(answer) + Math.exp(other) + Math.exp(third)),
});
const reference = run(3, 1);
const patched = run(1.5, 2);

describe("effects", () => {
  it.each([
    ["logit-difference", -0.5 - 2],
    ["logit", -1.5],
    ["logprob", Math.log(p(1.5, 2) / p(3, 1))],
    ["prob", p(1.5, 2) - p(3, 1)],
    ["relative-logit", -0.5],
    ["ie", (p(2, 1.5) / p(1, 3) - 1 + (p(3, 1) / p(1.5, 2) - 1)) / 2],
  ] as const)("%s follows its equation", (name, expected) => {
    expect(effectOf(name, true).of(reference, patched, guard)).toBeCloseTo(expected, 12);
  });

  it("leaves items out whose reference logit is near zero, and counts them", () => {
    const effect = effectOf("relative-logit", true);
    expect(effect.of(run(0.005, 1), patched, guard)).toBeNaN();
    expect(effect.guarded(run(-0.005, 1), guard)).toBe(true);
    expect(effect.guarded(run(-3, 1), guard)).toBe(false);
  });

  it("keeps ie finite where a probability vanishes", () => {
    const effect = effectOf("ie", true);
    expect(effect.of(run(60, -60), run(-60, 60), guard)).toBeLessThan(1.1e9);
    expect(effect.guarded(run(60, -60), guard)).toBe(true);
  });

  it("takes the logit difference by default, the log-probability without C'", () => {
    const items = [item("a", [1, 2], 3, [1, 3], 4), item("b", [2, 2], 4, [2, 3], 5)];
    expect(chooseEffect(undefined, pairs(items)).name).toBe("logit-difference");
    const without = [...items, item("c", [3, 2], 4, [3, 3])];
    expect(chooseEffect(undefined, pairs(without)).name).toBe("logprob");
    expect(() => chooseEffect("ie", pairs(without))).toThrow(/item c \(line 1\) does not have/);
    expect(() => effectOf("speed" as never, true)).toThrow(/unknown effect "speed"/);
  });
});

describe("pairs", () => {
  it("refuses items without a counterfactual, unless another prompt may be it", () => {
    const items = [item("a", [1, 2], 3), item("b", [2, 2], 4), item("c", [5, 5, 5], 6)];
    expect(() => pairs(items)).toThrow(/item a .* has no counterfactual/);
    for (const pair of makePairs(items, "random-other", "end", 1)) {
      expect(pair.counterfactual).not.toEqual(pair.reference);
      expect(pair.counterfactualAnswer).not.toBe(pair.answer);
    }
    const equal = items.slice(0, 2);
    expect(makePairs(equal, "random-other", "all", 1)[0]?.counterfactual).toEqual([2, 2]);
    expect(() => makePairs(items, "random-other", "all", 1)).toThrow(/item c .*same length/);
    expect(() => makePairs([item("a", [1], 3)], "random-other", "end", 1)).toThrow(
      /another answer/,
    );
  });

  it("needs equal lengths only where all positions are replaced", () => {
    const items = [item("long", [1, 2], 3, [1, 2, 3], 4)];
    expect(pairs(items)[0]?.counterfactual).toHaveLength(3);
    expect(() => makePairs(items, "own", "all", 0)).toThrow(
      /item long .* 2 tokens, its counterfactual 3/,
    );
  });
});

describe("screening", () => {
  const list = pairs([
    item("right", [1], 3, [2], 4),
    item("wrong", [2], 3, [3], 4),
    item("unchanged", [3], 3, [4], 4),
  ]);
  const reading = (argmax: number[]) => ({
    answer: Float64Array.of(0, 0, 0),
    other: Float64Array.of(0, 0, 0),
    logsumexp: Float64Array.of(Math.log(2), Math.log(2), Math.log(2)),
    argmax: Int32Array.from(argmax),
  });

  it("leaves out and counts what says nothing", () => {
    const both = { onlyCorrect: true, excludeUnchanged: true };
    const { kept, validity } = screen(list, reading([3, 9, 3]), reading([4, 4, 3]), both);
    expect(kept).toEqual([0]);
    expect(validity).toMatchObject({ excluded: 1, incorrect: 1 });
    expect(validity.referenceAccuracy).toBeCloseTo(2 / 3, 12);
    expect(validity.counterfactualStillC).toBeCloseTo(1 / 3, 12);
    expect(validity.counterfactualProbC).toBeCloseTo(0.5, 12);
    const neither = { onlyCorrect: false, excludeUnchanged: false };
    expect(screen(list, reading([3, 9, 3]), reading([4, 4, 3]), neither).kept).toEqual([0, 1, 2]);
  });

  it("says why nothing is left", () => {
    const both = { onlyCorrect: true, excludeUnchanged: true };
    expect(() => screen(list, reading([9, 9, 3]), reading([4, 4, 3]), both)).toThrow(
      /none of 3 pairs is left: 2 were answered wrongly, of 1 the counterfactual/,
    );
  });
});

describe("key heads", () => {
  const candidate = (head: number, harm: number, relativeLogit: number, p = 1): Candidate => ({
    component: { layer: 1, head },
    ...{ harm, relativeLogit, share: harm, p },
  });
  const candidates = [
    candidate(0, 0.2, -0.01),
    candidate(1, 0.9, -0.4, 0.001),
    candidate(2, 0.5, -0.06, 0.001),
    candidate(3, -0.7, 0.3, 0.001),
    candidate(-1, 0.8, -0.2, 0.02),
  ];

  it("follow the paper's threshold, most harmful first", () => {
    expect(selectKeys(candidates, {})).toEqual({ heads: ["1.1", "1.2"], mlps: [1] });
    expect(selectKeys(candidates, { threshold: -0.1 }).heads).toEqual(["1.1"]);
  });

  it("or are the top k, or the significant ones", () => {
    expect(selectKeys(candidates, { top: 3 }).heads).toEqual(["1.1", "1.2", "1.0"]);
    expect(selectKeys(candidates, { top: 1, threshold: -0.05 }).heads).toEqual(["1.1"]);
    const significance = { alpha: 0.01, minimumShare: 0.1 };
    expect(selectKeys(candidates, { significance })).toEqual({ heads: ["1.1", "1.2"], mlps: [] });
    expect(() => selectKeys(candidates, { top: 0 })).toThrow(/top 0/);
  });
});

/** Probability of the first of the logits (a, b, 0). */
function p(a: number, b: number): number {
  return Math.exp(a) / (Math.exp(a) + Math.exp(b) + 1);
}

function pairs(items: readonly Item[]) {
  return makePairs(items, "own", "end", 0);
}

function item(
  id: string,
  reference: number[],
  answerId: number,
  counterfactual?: number[],
  counterfactualAnswerId?: number,
): Item {
  return {
    ...{ id, line: 1, promptIds: reference, answerIds: [answerId], target: 0 },
    ...{ reference, answerId, roles: {} },
    ...(counterfactual && { counterfactual }),
    ...(counterfactualAnswerId !== undefined && { counterfactualAnswerId }),
  };
}
