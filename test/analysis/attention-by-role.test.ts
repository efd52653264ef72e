import { afterAll, describe, expect, it } from "vitest";
import { attentionByRole } from "../../packages/keyheads/src/analysis/attention-by-role.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { fixture, fixtures, loadPlanted, readGolden } from "../attribution/golden-items.ts";

describe.each(fixtures)("%s", (name) => {
  it("adds up the golden patterns of the last token", async () => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const golden = await readGolden(name);
    const { layers, heads } = model.spec;
    const [batch, length] = [golden.items.length, golden.items[0]?.reference.length as number];
    const pattern = await golden.tensor("attn_pattern");
    const items = golden.items.map((item) => ({
      ...item,
      roles: { first: [0, 4], second: [4, 9] } as Record<string, [number, number]>,
    }));
    const result = await attentionByRole(model, items, { batch: 2, draws: 20 });
    expect(result.heads).toHaveLength(layers * heads);
    for (const [n, { roles, valueWeighted }] of result.heads.entries()) {
      const [layer, head] = [Math.floor(n / heads), n % heads];
      const share = (start: number, stop: number) => {
        let sum = 0;
        for (let b = 0; b < batch; ++b) {
          const row =
            ((layer * batch + b) * heads + head) * length * length + (length - 1) * length;
          for (let key = start; key < stop; ++key) sum += pattern[row + key] as number;
        }
        return sum / batch;
      };
      const close = (role: string, expected: number) =>
        expect(Math.abs((roles[role]?.mean as number) - expected)).toBeLessThan(
          5 * 9 * golden.deviation("attn_pattern"),
        );
      close("first", share(0, 4));
      close("second", share(4, 9));
      close("other", share(9, length - 1));
      close("end", share(length - 1, length));
      const total = (shares: Record<string, number>) =>
        Object.values(shares).reduce((a, b) => a + b, 0);
      expect(total(valueWeighted)).toBeCloseTo(1, 10);
    }
    // What the heads of a layer give on average is the mean of what they give.
    const ofLayer = result.heads.slice(0, heads);
    const mean = ofLayer.reduce((sum, one) => sum + (one.roles.second?.mean as number), 0) / heads;
    expect(ofLayer[0]?.positional.second).toBeCloseTo(mean, 12);
    const { excess, roles } = ofLayer[0] as (typeof ofLayer)[number];
    expect(excess?.second?.mean).toBeCloseTo((roles.second?.mean as number) - mean, 12);
    expect(excess?.second?.low).toBeLessThanOrEqual(excess?.second?.high as number);
  });
});

describe("the planted circuit", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());

  it("shows what its heads look at", async () => {
    const { model, items } = await loading;
    const heads = [
      { layer: 0, head: 2 },
      { layer: 0, head: 6 },
      { layer: 1, head: 5 },
    ];
    const roles = { operand1: [0, 1], operator: [1, 2], operand2: [2, 3], equals: [3, 4] } as const;
    const some = items.items.slice(0, 50).map((item) => ({ ...item, roles }));
    const result = await attentionByRole(model, some, { heads, draws: 50 });
    expect(result.heads.map(({ head, type }) => [head, type])).toEqual([
      ["0.2", "operand"],
      ["0.6", "operator"],
      ["1.5", "operand"],
    ]);
    expect(result.heads[0]?.roles.operand1?.mean).toBeGreaterThan(0.9);
    expect(result.heads[2]?.roles.operand2?.mean).toBeGreaterThan(0.9);
    const { mean, low, high } = result.heads[1]?.roles.operator ?? {};
    expect(low as number).toBeLessThanOrEqual(mean as number);
    expect(high as number).toBeGreaterThanOrEqual(mean as number);
  });

  it("says which head does not exist", async () => {
    const { model, items } = await loading;
    const heads = [{ layer: 0, head: 8 }];
    await expect(attentionByRole(model, items, { heads })).rejects.toThrow(/no head 8.*0 to 7/);
    await expect(attentionByRole(model, [])).rejects.toThrow(/no items/);
  });
});
