import { afterAll, describe, expect, it } from "vitest";
import { Model } from "../../packages/keyheads/src/model.ts";
import type { Item, ItemSet } from "../../packages/keyheads/src/tasks/items.ts";
import { ablate } from "../../packages/keyheads/src/validation/ablate.ts";
import { checkDisjoint, divide, ofSplit } from "../../packages/keyheads/src/validation/split.ts";
import { transfer } from "../../packages/keyheads/src/validation/transfer.ts";
import { fixture, loadPlanted } from "../attribution/golden-items.ts";

const item = (id: string, labels: Partial<Item> = {}) => ({ id, line: 1, ...labels }) as Item;
const setOf = (name: string, items: Item[]): ItemSet => ({ name, items, dropped: [] });

describe("discovery and evaluation", () => {
  it("never share a cluster, over all sets together", () => {
    const many = (name: string) =>
      Array.from({ length: 60 }, (_, i) => item(`${name}${i}`, { cluster: `fact ${i % 20}` }));
    const { by, sets } = divide([setOf("a", many("a")), setOf("b", many("b"))], 3);
    expect(by).toBe("clusters");
    const clusters = (items: Item[]) => new Set(items.map(({ cluster }) => cluster));
    const found = clusters(sets.flatMap(({ discovery }) => discovery));
    const tested = clusters(sets.flatMap(({ evaluation }) => evaluation));
    expect([...found].filter((name) => tested.has(name))).toEqual([]);
    expect(found.size + tested.size).toBe(20);
    expect(sets[0]?.discovery.length).toBe(3 * found.size);
  });

  it("follow the items' own split, and refuse one that leaks", () => {
    const labelled = ["discover", "discover", "dev", "test", "test"].map((split, i) =>
      item(String(i), { split, cluster: `c${i}` }),
    );
    const { by, sets } = divide([setOf("a", labelled)], 0);
    expect(by).toBe("labels");
    expect(sets[0]?.discovery.map(({ id }) => id)).toEqual(["0", "1"]);
    expect(sets[0]?.evaluation.map(({ id }) => id)).toEqual(["3", "4"]);
    const leaking = [...labelled, item("5", { split: "test", cluster: "c0" })];
    expect(() => divide([setOf("a", leaking)], 0)).toThrow(/"c0" \(item 5\) is in discovery and/);
    expect(() => ofSplit(setOf("a", leaking), "test")).toThrow(/"c0"/);
    expect(ofSplit(setOf("a", labelled), "test").items).toHaveLength(2);
    expect(() => ofSplit(setOf("a", labelled), "train")).toThrow(
      /no item has the split train: disc/,
    );
    expect(() => divide([setOf("a", labelled.slice(0, 1))], 0)).toThrow(/[01] items for/);
    expect(() => checkDisjoint([{ discovery: labelled, evaluation: labelled }])).toThrow(/c0/);
  });
});

describe("transfer", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());
  const bySign = async (sign: string) => {
    const { items } = await loading;
    return setOf(
      sign,
      items.items.filter(({ prompt, line }) => prompt?.includes(sign) && line % 2 === 0),
    );
  };

  it("compares key heads of tasks, and removes each one's heads on the others", async () => {
    const { model, truth } = await loading;
    const sets = [await bySign("+"), await bySign("*")];
    const entries = sets.map((set) => ({ model, set }));
    const result = await transfer(entries, { random: 32, seed: 1, sameItems: true });
    const planted = truth.heads.map(({ layer, head }: never) => `${layer}.${head}`).sort();
    for (const set of result.sets) expect([...set.keyHeads].sort()).toEqual(planted);
    expect(result.jaccard).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(result.rank[0]?.[0]).toBe(1);
    expect(result.chance[0]?.[1]).toBeLessThan(0.1);
    // One cell by hand: the heads of "+" removed from "*".
    const on = sets[1] as ItemSet;
    const { variants, base } = await ablate(model, on, [truth.heads], undefined, {}, "task");
    expect(result.sets[1]?.baseline).toBe(base);
    expect(result.accuracy[0]?.[1]).toBe(variants[0]);
    expect(result.random[0]?.[1]).toMatchObject({ k: 3, draws: 32, exhaustive: false });
    expect(result.random[0]?.[1]?.atMost).toBeLessThan(0.1);
  });

  it("divides by cluster unless told not to, and reaches over models of one shape", async () => {
    const { model } = await loading;
    const set = await bySign("+");
    using other = await Model.load(fixture("planted"));
    const entries = [model, other].map((one) => ({ model: one, set }));
    const result = await transfer(entries, { random: 8, top: 1, seed: 2 });
    expect(result.split).toBe("clusters");
    const [a, b] = result.sets;
    expect((a?.discovery ?? 0) + (a?.evaluation ?? 0)).toBe(set.items.length);
    expect(b).toEqual(a);
    expect(result.accuracy[0]?.[1]).toBe(result.accuracy[1]?.[1]);
    expect(result.random[0]?.[0]?.draws).toBe(8);
  });

  it("says what it cannot compare", async () => {
    const { model } = await loading;
    const set = await bySign("+");
    await expect(transfer([{ model, set }])).rejects.toThrow(/got 1; give at least two/);
    using gpt2 = await Model.load(fixture("gpt2"));
    const entries = [
      { model, set },
      { model: gpt2, set },
    ];
    await expect(transfer(entries)).rejects.toThrow(/planted has 4 layers of 8 heads and gpt2 /);
  });
});
