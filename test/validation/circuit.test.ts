import { afterAll, describe, expect, it } from "vitest";
import {
  allHeads,
  type Component,
  componentName,
  mlp,
} from "../../packages/keyheads/src/attribution/component.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import type { HookEdit } from "../../packages/keyheads/src/sites.ts";
import { combinations } from "../../packages/keyheads/src/statistics/combinations.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { circuit } from "../../packages/keyheads/src/validation/circuit.ts";
import { areas } from "../../packages/keyheads/src/validation/size-curve.ts";
import { fixture, loadPlanted, readGolden } from "../attribution/golden-items.ts";

const named = (names: readonly string[]) => [...names].sort().join();
const powerSet = <T>(things: readonly T[]) =>
  [...things.keys(), things.length].flatMap((k) => combinations(things, k));

/** The mean metric with a set removed, by plain forward runs with edits: nothing else is shared. */
async function oracle(
  model: Model,
  items: readonly Item[],
  ablation: "zero" | "mean" | "counterfactual",
) {
  const { layers, heads, dHead } = model.spec;
  const sequences = items.map(({ reference }) => reference);
  const from = items.map(({ reference, counterfactual }) =>
    ablation === "counterfactual" ? (counterfactual as number[]) : reference,
  );
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const { captures } = await model.forward({
    sequences: from,
    captures: [
      ...each.map((l) => ({ hook: hooks.z(l) })),
      ...each.map((l) => ({ hook: hooks.mlp_out_raw(l) })),
    ],
  });
  const rows = from.reduce((sum, { length }) => sum + length, 0);
  const length = from[0]?.length as number;
  const replaced = captures.map((values) => {
    const width = values.length / rows;
    return values.map((value, i) => {
      if (ablation === "zero") return 0;
      if (ablation === "counterfactual") return value;
      // All items have one length: the mean over items at this position.
      const at = i % (length * width);
      let sum = 0;
      for (let b = 0; b < items.length; ++b) sum += values[b * length * width + at] as number;
      return sum / items.length;
    });
  });
  const known = new Map<string, number>();
  return async (removed: readonly Component[]): Promise<number> => {
    const key = named(removed.map(componentName));
    const edits = removed.map(({ layer, head }): HookEdit => {
      if (head < 0) {
        const value = replaced[layers + layer] as Float64Array;
        return { hook: hooks.mlp_out_raw(layer), op: "set", value };
      }
      const all = replaced[layer] as Float64Array;
      const value = new Float64Array(rows * dHead);
      for (let r = 0; r < rows; ++r) {
        const start = (r * heads + head) * dHead;
        value.set(all.subarray(start, start + dHead), r * dHead);
      }
      return { hook: hooks.z(layer), head, op: "set", value };
    });
    if (!known.has(key)) {
      const { logits } = await model.forward({ sequences, edits, readout: { logits: "all" } });
      const { vocab } = model.spec;
      const each = items.map(({ answerId, counterfactualAnswerId }, b) => {
        const at = (token: number) => logits?.[b * vocab + token] as number;
        return at(answerId) - at(counterfactualAnswerId as number);
      });
      known.set(key, each.reduce((a, b) => a + b, 0) / items.length);
    }
    return known.get(key) as number;
  };
}

describe.each(["gpt2", "llama-gqa", "gpt_neox", "gemma2"])(
  "on %s, against plain runs with edits",
  (name) => {
    it.each(["zero", "mean", "counterfactual"] as const)("%s ablation", async (ablation) => {
      using model = await Model.load(fixture(name), { dtype: "f64" });
      const { items } = await readGolden(name);
      const m = await oracle(model, items, ablation);
      const heads = [
        { layer: 0, head: 1 },
        { layer: 1, head: 0 },
      ];
      const chosen = [...heads, mlp(1)];
      const all = [
        ...allHeads(model.spec),
        ...Array.from({ length: model.spec.layers }, (_, l) => mlp(l)),
      ];
      const less = (from: readonly Component[], set: readonly Component[]) =>
        from.filter((a) => !set.some((b) => a.layer === b.layer && a.head === b.head));
      const kept = (set: readonly Component[]) => m(less(all, set));
      const result = await circuit(model, items, {
        heads,
        mlps: [1],
        ablation,
        draws: 50,
        random: 3,
        seed: 4,
      });

      const [full, empty] = [await m([]), await m(all)];
      expect(result.full).toBeCloseTo(full, 9);
      expect(result.empty).toBeCloseTo(empty, 9);
      expect(result.faithfulness.mean).toBeCloseTo(
        ((await kept(chosen)) - empty) / (full - empty),
        9,
      );

      // Eight parts are few: all are tried, so the largest difference is the largest there is.
      let largest = 0;
      for (const part of powerSet(chosen)) {
        largest = Math.max(largest, Math.abs((await kept(less(chosen, part))) - (await m(part))));
      }
      expect(result.completeness?.largest).toBeCloseTo(largest, 9);
      expect(result.completeness?.random).toHaveLength(8);
      expect(result.completeness?.greedy.map(({ removed }) => removed.length)).toEqual([1, 2, 3]);

      const worth = async (whole: readonly Component[], one: Component) => {
        let most = 0;
        for (const part of powerSet(less(chosen, [one]))) {
          const stays = less(less(whole, part), [one]);
          most = Math.max(most, Math.abs((await kept(stays)) - (await kept([...stays, one]))));
        }
        return most;
      };
      for (const [i, component] of chosen.entries()) {
        const { effect } = result.minimality?.components[i] ?? {};
        expect(effect, componentName(component)).toBeCloseTo(await worth(chosen, component), 9);
      }
      const { heads: drawn = [], effects = [] } = result.minimality?.random ?? {};
      expect(drawn).toHaveLength(3);
      const [layer, head] = (drawn[0] as string).split(".").map(Number) as [number, number];
      expect(effects[0]).toBeCloseTo(await worth([...chosen, { layer, head }], { layer, head }), 9);
    });
  },
);

describe("on the planted model", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());

  it("the planted circuit is faithful, complete and minimal, and less is not", async () => {
    const { model, items, truth } = await loading;
    const some = items.items.filter((_, i) => i % 4 === 0);
    const options = { ablation: "counterfactual", draws: 50, random: 5 } as const;
    const mlps = truth.mlps.map(({ layer }: { layer: number }) => layer);
    const whole = await circuit(model, some, { ...options, heads: truth.heads, mlps });
    expect(whole.mlpsOutside).toBe("removed");
    expect(whole.faithfulness.mean).toBeCloseTo(1, 1);
    expect(whole.completeness?.share).toBeLessThan(0.03);
    for (const part of whole.minimality?.components ?? []) {
      expect(part.atLeast, part.component).toBe(0);
      expect(part.share, part.component).toBeGreaterThan(0.2);
    }
    const part = await circuit(model, some, { ...options, heads: truth.heads.slice(1), mlps });
    expect(part.faithfulness.mean).toBeLessThan(0.6);
    // With the missing head left in the model, the circuit cannot keep up.
    expect(part.completeness?.share).toBeGreaterThan(0.3);
    // A head that is no part of it changes nothing, wherever it stands.
    const idle = { layer: 3, head: 0 };
    const more = await circuit(model, some, { ...options, heads: [...truth.heads, idle], mlps });
    const added = more.minimality?.components.find(({ component }) => component === "3.0");
    expect(added?.share).toBeLessThan(0.01);
  });

  it("keeps MLPs outside of a circuit of heads, and draws its curve over size", async () => {
    const { model, items, truth } = await loading;
    const some = items.items.filter((_, i) => i % 4 === 0);
    const isPlanted = ({ layer, head }: Component) =>
      truth.heads.some((one: Component) => one.layer === layer && one.head === head);
    const scores = allHeads(model.spec).map((component, i) => ({
      component,
      // The planted heads first; then those that are said to hurt, in some order.
      score: isPlanted(component) ? 10 : -i / 100,
    }));
    const result = await circuit(model, some, {
      heads: truth.heads,
      subsets: 0,
      draws: 20,
      scores,
    });
    expect(result).toMatchObject({ mlpsOutside: "kept", of: 32 });
    expect(result.completeness).toBeUndefined();
    const [signed, absolute] = result.sizes ?? [];
    expect(signed?.points.map(({ k }) => k)).toEqual([0, 0, 0, 0, 0, 1, 3, 6, 16, 32]);
    expect(signed?.points[0]?.faithfulness).toBeCloseTo(0, 6);
    expect(signed?.points[6]?.faithfulness).toBeCloseTo(result.faithfulness.mean, 6);
    expect(signed?.points[9]?.faithfulness).toBeCloseTo(1, 6);
    expect(result.cpr).toBe(signed?.cpr);
    expect(result.cmd).toBe(absolute?.cmd);
  });

  it("says what it cannot do", async () => {
    const { model, items } = await loading;
    const some = items.items.slice(0, 20);
    await expect(circuit(model, some, {})).rejects.toThrow(/an empty circuit/);
    await expect(circuit(model, some, { mlps: [1], mlpsOutside: "kept" })).rejects.toThrow(
      /names mlp 1, but MLPs outside of it are kept/,
    );
    const bare = some.map(({ counterfactual: _, ...item }) => item as Item);
    await expect(circuit(model, bare, { mlps: [1], ablation: "counterfactual" })).rejects.toThrow(
      /it has no counterfactual for this answer token/,
    );
    const longer = some.map((item) => ({ ...item, counterfactual: [1, ...item.reference] }));
    await expect(circuit(model, longer, { mlps: [1], ablation: "counterfactual" })).rejects.toThrow(
      /its counterfactual has 5 tokens instead of 4/,
    );
  });
});

describe("areas over size", () => {
  it("are trapezoids over the share", () => {
    const points = [
      { share: 0.2, faithfulness: 0 },
      { share: 0.5, faithfulness: 1.5 },
      { share: 1, faithfulness: 1 },
    ];
    // 0.3 * 0.75 + 0.5 * 1.25 and 0.3 * (1 + 0.5) / 2 + 0.5 * (0.5 + 0) / 2
    const { cpr, cmd } = areas(points);
    expect(cpr).toBeCloseTo(0.85, 12);
    expect(cmd).toBeCloseTo(0.35, 12);
  });
});
