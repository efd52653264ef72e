import { describe, expect, it } from "vitest";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { chooseAlignment, rowKey, rowsOf } from "../../packages/keyheads/src/validation/align.ts";
import { type Case, casesOf } from "../../packages/keyheads/src/validation/cases.ts";
import type { Alignment } from "../../packages/keyheads/src/validation/options.ts";
import { randomSets } from "../../packages/keyheads/src/validation/random-sets.ts";

const one = (template: string, length: number): Case => ({
  ...{ item: 0, sequence: Array(length).fill(1), answer: 0, template, step: 0 },
  ...{ other: undefined, counterfactual: undefined, roles: Array(length).fill("") },
  name: `task item ${template}${length}`,
});
const keysOf = (positions: "end" | "all") => (c: Case, align: Alignment) =>
  rowsOf(c, positions).map((p) => rowKey(c, p, positions, align));
const choose = (cases: Case[], positions: "end" | "all", asked?: Alignment) =>
  chooseAlignment(cases, cases, asked, keysOf(positions));

describe("alignment of means", () => {
  it("is by template and length where every group has two prompts", () => {
    const cases = [one("a", 3), one("a", 3), one("b", 4), one("b", 4), one("b", 4)];
    expect(choose(cases, "all")).toEqual({
      align: "template",
      description: "5 prompts, by template and position (groups of 2 to 3)",
    });
  });

  it("is coarser where prompts are ragged, and says so", () => {
    const ragged = [one("a", 3), one("a", 4), one("a", 4)];
    expect(choose(ragged, "end").align).toBe("template");
    // Of one template but of two lengths: by distance from END, role by role.
    expect(choose(ragged, "all").align).toBe("role");
    const named = { ...one("a", 3), roles: ["", "operand", ""] };
    expect(choose([named, named, one("a", 4), one("a", 4)], "all").align).toBe("template");
    const mixed = [{ ...one("a", 3), roles: ["operand", "", ""] }, one("a", 4), one("a", 4)];
    expect(choose(mixed, "all").align).toBe("offset");
    expect(choose([one("a", 3), one("b", 4), one("b", 4)], "all").align).toBe("offset");
    expect(choose([one("a", 3), one("a", 4)], "all").align).toBe("none");
  });

  it("refuses a mean over one prompt, which would remove nothing", () => {
    const ragged = [one("a", 3), one("a", 4), one("a", 4)];
    expect(() => choose(ragged, "all", "template")).toThrow(/task item a3: fewer than two prompts/);
    expect(() => choose([one("a", 1)], "all")).toThrow(/fewer than two prompts/);
  });

  it("counts an answer token as a position of its own", () => {
    const item = { id: "1", line: 1, promptIds: [5, 6], answerIds: [7, 8], target: 0 };
    const cases = casesOf(
      [{ ...item, reference: [5, 6], answerId: 7, roles: {} } as Item],
      "all",
      "task",
    );
    expect(cases.map(({ sequence, answer }) => [sequence, answer])).toEqual([
      [[5, 6], 7],
      [[5, 6, 7], 8],
    ]);
    const keys = cases.map((c) => rowKey(c, c.sequence.length - 1, "end", "template"));
    expect(keys[0]).not.toBe(keys[1]);
  });
});

describe("random sets", () => {
  const spec = { layers: 4, heads: 4 };
  const chosen = [
    { layer: 2, head: 2 },
    { layer: 2, head: 1 },
    { layer: 0, head: 0 },
    { layer: 3, head: -1 },
  ];
  const key = (set: readonly { layer: number; head: number }[]) =>
    set.map(({ layer, head }) => `${layer}.${head}`).join();

  it("are all sets where there are few", () => {
    const options = { draws: 600, layerMatched: false, random: rng(0) };
    const { sets, exhaustive } = randomSets(spec, chosen.slice(0, 3), options);
    expect(exhaustive).toBe(true);
    expect(new Set(sets.map(key)).size).toBe(560);
  });

  it("match layers head by head, and kinds", () => {
    const options = { draws: 1000, layerMatched: true, random: rng(0) };
    const { sets, exhaustive } = randomSets(spec, chosen, options);
    expect(exhaustive).toBe(true);
    expect(new Set(sets.map(key)).size).toBe(6 * 4 * 4);
    for (const set of sets) {
      expect(set.map(({ layer }) => layer).slice(0, 3)).toEqual([2, 2, 0]);
      expect(set.filter(({ head }) => head < 0)).toHaveLength(1);
    }
  });

  it("are drawn where there are many, without repeats within a set", () => {
    const options = { draws: 50, layerMatched: false, random: rng(1) };
    const { sets, exhaustive } = randomSets(spec, chosen, options);
    expect(exhaustive).toBe(false);
    expect(sets).toHaveLength(50);
    for (const set of sets) expect(new Set(set.map((c) => key([c]))).size).toBe(4);
  });
});
