// A model that others trained, and figures that an independent implementation measured on it
// beforehand (2,000 pairs). Shares are of the mean total effect; samples differ by a point or two.
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import { pathPatch } from "../../packages/keyheads/src/attribution/path-patch.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { DigitsAdd } from "../../packages/keyheads/src/tasks/digits-add.ts";
import type { TaskCard } from "../../packages/models/src/card.ts";
import { bundledModels } from "../../packages/models/src/index.ts";

const name = "mathgpt_add3_h4_l4";
const folder = fileURLToPath(new URL(`../../packages/models/models/${name}`, import.meta.url));
const points = 0.05;

describe("carries through the tens column", () => {
  let model: Model;
  let digits: DigitsAdd;
  beforeAll(async () => {
    model = await Model.load(folder);
    const card = bundledModels.find((one) => one.name === name)?.card as TaskCard;
    digits = new DigitsAdd(card, model.needTokenizer(), { seed: 1 });
  });
  afterAll(() => model.dispose());
  const itemsOf = (count: number) =>
    digits.itemSet(digits.sample("W", count), digits.question("W"));
  const options = { draws: 100, excludeUnchanged: false } as const;

  it("are written at END by the expected heads and MLPs", async () => {
    const result = await pathPatch(model, itemsOf(500), { ...options, top: 3 });
    expect(result.effect).toBe("logit-difference");
    expect(Math.abs(result.totalEffect + 3.32)).toBeLessThan(0.4);
    expect(Math.abs(result.validity.referenceAccuracy - 0.888)).toBeLessThan(0.05);
    const expected: Record<string, number> = { "2.2": 0.5, "2.1": 0.16, "2.3": 0.16, "2.0": 0.06 };
    result.headShares.forEach((row, layer) => {
      row.forEach((share, head) => {
        const wanted = expected[`${layer}.${head}`];
        if (wanted === undefined) expect(share, `${layer}.${head}`).toBeLessThan(0.05);
        else expect(Math.abs(share - wanted), `${layer}.${head}`).toBeLessThan(points);
      });
    });
    expect(Math.abs((result.mlpShares[2] as number) - 0.92)).toBeLessThan(points);
    expect(Math.abs((result.mlpShares[3] as number) - 0.92)).toBeLessThan(points);
    expect(result.keyHeads[0]).toBe("2.2");
    expect(result.keyHeads.toSorted()).toEqual(["2.1", "2.2", "2.3"]);
  });

  it("come from upstream heads, which write nothing at END themselves", async () => {
    const items = itemsOf(250);
    const all = await identify(model, items, {
      ...{ ...options, method: "activation", positions: "all", senders: ["heads"] },
    });
    const direct = await pathPatch(model, items, options);
    const expected = [0.55, 0.1, 0.13];
    for (const [head, share] of expected.entries()) {
      expect(Math.abs((all.headShares[0]?.[head] as number) - share)).toBeLessThan(points);
      expect(Math.abs(direct.headShares[0]?.[head] as number)).toBeLessThan(points);
    }
  });

  it("are hidden by a counterfactual that changes everything", async () => {
    const items = itemsOf(250);
    const { headShares } = await pathPatch(model, items, {
      ...{ ...options, counterfactual: "random-other" },
    });
    expect(headShares[2]?.[2]).toBeLessThan(0.05);
  });
});
