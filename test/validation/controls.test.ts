import { afterAll, describe, expect, it } from "vitest";
import { Model } from "../../packages/keyheads/src/model.ts";
import { controls } from "../../packages/keyheads/src/validation/controls.ts";
import { robustness } from "../../packages/keyheads/src/validation/robustness.ts";
import { untrained } from "../../packages/keyheads/src/validation/untrained.ts";
import { fixture, loadPlanted } from "../attribution/golden-items.ts";

describe("an untrained model", () => {
  it.each(["gpt2", "mixtral", "gemma2"])(
    "of %s has its shapes and spread, and no biases",
    async (name) => {
      using model = await Model.load(fixture(name), { dtype: "f64" });
      using copy = await untrained(model, 3, {});
      for (const { slot, layer, expert } of model.files.slots) {
        const ref = { slot, layer, ...(expert !== undefined && { expert }) };
        const [a, b] = [await model.readWeight(ref), await copy.readWeight(ref)];
        expect(b).toHaveLength(a.length);
        const square = (values: ArrayLike<number>) =>
          Math.sqrt(Array.from(values, (v) => v * v).reduce((x, y) => x + y, 0) / values.length);
        if (/^b|Bias/.test(slot)) expect(square(b), slot).toBe(0);
        else if (/norm/i.test(slot))
          expect([...new Set(b)], slot).toEqual([model.spec.normPlusOne ? 0 : 1]);
        // Of n normal draws, the spread is within 1 / sqrt(2 n): ten times that is no accident.
        else
          expect(Math.abs(square(b) / square(a) - 1), slot).toBeLessThan(
            10 / Math.sqrt(2 * a.length),
          );
      }
      const ref = { slot: "wo", layer: 0 } as const;
      using again = await untrained(model, 3, {});
      expect(await again.readWeight(ref)).toEqual(await copy.readWeight(ref));
      expect(await copy.readWeight(ref)).not.toEqual(await model.readWeight(ref));
    },
  );
});

describe("on the planted model", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());

  it("negative controls find nothing where the task finds the planted heads", async () => {
    const { model, items } = await loading;
    const result = await controls(model, items, { draws: 20 });
    expect(result.self).toMatchObject({ keyHeads: [], keyMlps: [], pass: true });
    expect(result.self.largest).toBeLessThan(1e-4);
    expect(result.untrained).toMatchObject({ keyHeads: [], keyMlps: [], pass: true });
    expect(result.untrained.accuracy).toBeLessThan(0.2);
    expect(result.pass).toBe(true);
  });

  it("the planted heads come out whatever was decided", async () => {
    const { model, items, truth } = await loading;
    const some = items.items.filter((_, i) => i % 5 < 2);
    const labelled = some.map((item, i) => ({ ...item, template: i % 2 ? "odd" : "even" }));
    const result = await robustness(model, labelled, { top: 3 });
    const planted = truth.heads.map(({ layer, head }: never) => `${layer}.${head}`).sort();
    const rows = result.rows.filter(({ why }) => why === undefined);
    expect(new Set(rows.map(({ dimension }) => dimension))).toEqual(
      new Set(["effect", "method", "ablation", "counterfactual", "template"]),
    );
    // The planted heads write for MLPs, which pass nothing on when they are frozen.
    const frozen = rows.find(({ value }) => value === "path patching, MLPs frozen");
    expect(frozen?.jaccard).toBeLessThan(0.5);
    for (const row of rows.filter((one) => one !== frozen)) {
      const name = `${row.dimension} ${row.value}`;
      expect([...row.keyHeads].sort(), name).toEqual(planted);
      expect(row.jaccard, name).toBe(1);
      expect(row.chance, name).toBeLessThan(0.1);
    }
    expect(
      result.heads
        .slice(0, 3)
        .map(({ head }) => head)
        .sort(),
    ).toEqual(planted);
    expect(
      rows.filter(({ dimension }) => dimension === "template").map(({ items: n }) => n),
    ).toEqual([60, 60]);
  });

  it("says which decision the items do not allow", async () => {
    const { model, items } = await loading;
    const bare = items.items.slice(0, 40).map(({ counterfactualAnswerId: _, ...item }) => item);
    const { rows, effect } = await robustness(model, bare, { top: 3 });
    expect(effect).toBe("logprob");
    const missing = rows.find(({ value }) => value === "ie");
    expect(missing?.why).toMatch(/compares with the counterfactual's answer/);
    expect(missing?.keyHeads).toEqual([]);
  });
});
