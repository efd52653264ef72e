import { afterAll, describe, expect, it } from "vitest";
import { allHeads, mlp } from "../../packages/keyheads/src/attribution/component.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { ablate } from "../../packages/keyheads/src/validation/ablate.ts";
import { knockOut } from "../../packages/keyheads/src/validation/knock-out.ts";
import { subsets } from "../../packages/keyheads/src/validation/subsets.ts";
import { argmax, fixture, fixtures, loadPlanted, readGolden } from "../attribution/golden-items.ts";

describe("the planted circuit", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());

  it("loses what the truth says when one planted part is set to its mean", async () => {
    const { model, items, truth } = await loading;
    const { one_planted_head_mean: heads, one_planted_mlp_mean: mlps } = truth.knock_out;
    const parts = [...heads, ...mlps.map(({ layer }: { layer: number }) => mlp(layer))];
    const { variants, base } = await ablate(
      model,
      items,
      parts.map((part) => [part]),
      items.items.map((item) => ({ ...item, promptIds: item.counterfactual ?? [] })),
      {},
      "task",
    );
    expect(base).toBe(1);
    for (const [i, { accuracy }] of [...heads, ...mlps].entries()) {
      // The stored figures are rounded to four digits.
      expect(variants[i], String(i)).toBeCloseTo(accuracy, 3);
    }
  });

  it.each(["mean", "zero"] as const)(
    "keeps its answers without everything else (%s)",
    async (ablation) => {
      const { model, items, truth } = await loading;
      const planted = (layer: number, head: number) =>
        truth.heads.some((one: { layer: number; head: number }) => {
          return one.layer === layer && one.head === head;
        });
      const heads = allHeads(model.spec).filter(({ layer, head }) => !planted(layer, head));
      const { curve, meanOver } = await knockOut(model, items, {
        ...{ heads, mlps: [0, 1], ablation, random: 0 },
      });
      expect(curve).toHaveLength(heads.length + 3);
      expect(curve.at(-1)).toEqual({
        k: heads.length + 2,
        added: "mlp 1",
        accuracy: truth.knock_out[`all_other_heads_and_mlps_${ablation}`],
      });
      expect(meanOver).toMatch(ablation === "mean" ? /^300 prompts, by template/ : /zero/);
    },
  );

  it("shows the chosen heads against a band of random ones", async () => {
    const { model, items, truth } = await loading;
    const some = items.items.slice(0, 100);
    const result = await knockOut(model, some, { heads: truth.heads, random: 40, seed: 2 });
    expect(result.curve.map(({ accuracy }) => accuracy < 0.1)).toEqual([false, true, true, true]);
    const [one, two] = result.random;
    // All 32 single heads: three of them are the planted ones.
    expect(one).toMatchObject({ k: 1, draws: 32, exhaustive: true });
    expect(one?.mean).toBeGreaterThan(0.85);
    expect(one?.atMost).toBeLessThanOrEqual(3 / 32);
    expect(two).toMatchObject({ k: 2, draws: 40, exhaustive: false });
    expect(two?.high).toBe(1);
  });

  it("replaces by other prompts' values, and only at END if asked to", async () => {
    const { model, items } = await loading;
    const some = items.items.slice(0, 100);
    const heads = [{ layer: 0, head: 2 }];
    const at = async (positions: "end" | "all") => {
      const options = { heads, ablation: "resample", positions, random: 0 } as const;
      return (await knockOut(model, some, options)).curve[1]?.accuracy as number;
    };
    expect(await at("end")).toBeLessThan(0.4);
    expect(await at("all")).toBeLessThan(0.4);
  });

  it("runs the control on the same axis", async () => {
    const { model, items, truth } = await loading;
    const times = items.items.filter((item) => item.prompt?.includes("*"));
    const plus = items.items.filter((item) => item.prompt?.includes("+"));
    // MLP 2 looks up products, MLP 3 sums and differences.
    expect(truth.mlps[0].role).toMatch(/\*/);
    const { curve, random, controlMeanOver } = await knockOut(model, times, {
      ...{ mlps: [2], control: plus, meanOver: items, controlMeanOver: items, random: 4 },
    });
    expect(curve[1]?.accuracy).toBeLessThan(0.2);
    expect(curve[1]?.control).toBeGreaterThan(0.9);
    const fall = (name: "accuracy" | "control") =>
      (curve[0]?.[name] ?? 0) - (curve[1]?.[name] ?? 0);
    expect(curve[1]?.specificDrop).toBeCloseTo(fall("accuracy") - fall("control"), 12);
    // One of four single MLPs drops the task that much.
    expect(random[0]).toMatchObject({ draws: 4, exhaustive: true, atMost: 0.25 });
    expect(random[0]?.specificDrop).toMatchObject({ atLeast: 0.25, high: expect.any(Number) });
    expect(controlMeanOver).toMatch(/^300 prompts/);
  });

  it("tries every set of heads", async () => {
    const { model, items, truth } = await loading;
    const some = items.items.filter((_, i) => i % 5 === 0);
    const heads = [...truth.heads, { layer: 3, head: 0 }, { layer: 3, head: 1 }];
    const result = await subsets(model, some, { heads, size: 2, control: some });
    expect(result.sets).toHaveLength(1 + 5 + 10);
    expect(result.sets[0]).toMatchObject({ heads: [], accuracy: result.baseline.accuracy });
    const harmless = result.sets.filter(({ accuracy }) => accuracy === 1);
    expect(harmless.map((set) => set.heads.join())).toEqual(["", "3.0", "3.1", "3.0,3.1"]);
    // Task and control are the same here, so nothing is specific.
    expect(result.sets.every(({ specificDrop }) => specificDrop === 0)).toBe(true);
  });

  it("says what is wrong with what it is asked", async () => {
    const { model, items } = await loading;
    await expect(knockOut(model, items, {})).rejects.toThrow(/no heads or MLPs/);
    await expect(knockOut(model, items, { heads: [{ layer: 4, head: 0 }] })).rejects.toThrow(
      /4\.0: there is no layer 4/,
    );
    await expect(knockOut(model, items, { mlps: [1, 1] })).rejects.toThrow(/mlp 1 is named twice/);
    await expect(knockOut(model, [], { mlps: [1] })).rejects.toThrow(/no task items/);
    const one = items.items.slice(0, 1);
    await expect(knockOut(model, one, { mlps: [1] })).rejects.toThrow(/fewer than two prompts/);
    await expect(subsets(model, items, { size: 20 })).rejects.toThrow(/are too many/);
  });
});

describe.each(fixtures)("%s", (name) => {
  it.each(["mean", "zero"] as const)("agrees with the golden knock-outs (%s)", async (ablation) => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const golden = await readGolden(name);
    const { items, vocab } = golden;
    const logits = await golden.tensor(`knock.${ablation}`);
    const predicted = (set: number, b: number) => {
      const at = (set * items.length + b) * vocab;
      return argmax(logits.subarray(at, at + vocab));
    };
    // What the golden run answers with the set removed is made the right answer in turn.
    for (const [s, set] of golden.knockOuts.entries()) {
      const asked = items.map((item, b) => ({
        ...item,
        answerIds: [predicted(s, b)],
        answerId: predicted(s, b),
      }));
      const components = [
        ...set.heads.map(([layer, head]) => ({ layer, head })),
        ...set.mlps.map(mlp),
      ];
      const meanOver = items.map((item) => ({ ...item, promptIds: item.counterfactual ?? [] }));
      const options = { ablation, align: "template" } as const;
      const { variants } = await ablate(model, asked, [components], meanOver, options, "task");
      expect(variants[0], JSON.stringify(set)).toBe(1);
    }
  });

  it("counts an answer of several tokens as right if every token is", async () => {
    using model = await Model.load(fixture(name));
    const { items } = await readGolden(name);
    const answers = await Promise.all(
      items.map((item) => model.generate(item.promptIds.slice(0, 8), { maxTokens: 3 })),
    );
    const long = items.map(
      (item, i): Item => ({
        ...item,
        promptIds: item.promptIds.slice(0, 8),
        answerIds: answers[i] as number[],
        target: 1,
      }),
    );
    const baseOf = async (list: Item[], answer: "all" | "target") =>
      (await ablate(model, list, [[mlp(0)]], undefined, { answer, ablation: "zero" }, "task")).base;
    expect(await baseOf(long, "all")).toBe(1);
    // A wrong last token: only the measured one, the second, is asked for by "target".
    const spoilt = long.map((item, i) => {
      const [a, b, c] = item.answerIds as [number, number, number];
      return i === 0 ? { ...item, answerIds: [a, b, (c + 1) % model.spec.vocab] } : item;
    });
    expect(await baseOf(spoilt, "all")).toBeCloseTo(2 / 3, 12);
    expect(await baseOf(spoilt, "target")).toBe(1);
  });

  it("does not depend on how items are chunked, ragged ones included", async () => {
    using model = await Model.load(fixture(name));
    const { items } = await readGolden(name);
    const ragged = [...items, ...items.map((item) => shorten(item))];
    const sets = [
      [{ layer: 1, head: 0 }],
      [mlp(1)],
      [{ layer: 0, head: 1 }, mlp(model.spec.layers - 1)],
    ];
    const run = (batch: number) =>
      ablate(model, ragged, sets, undefined, { batch, ablation: "mean" }, "task");
    expect(await run(1)).toEqual(await run(64));
  });
});

function shorten(item: Item): Item {
  return { ...item, id: `short ${item.id}`, promptIds: item.promptIds.slice(4) };
}
