import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { slotKey } from "../../packages/keyheads/src/load/slots.ts";
import { openFolder, storedIndex } from "../../packages/keyheads/src/save/stored.ts";
import { planTuning } from "../../packages/keyheads/src/tuning/plan.ts";
import { toSelection } from "../../packages/keyheads/src/tuning/read-selection.ts";
import {
  formatHead,
  formatHeads,
  parseHeads,
  parseMlps,
  resolveSelection,
  type Selection,
  selectSlices,
  sharedHeads,
} from "../../packages/keyheads/src/tuning/selection.ts";
import { allSlices, countParameters } from "../../packages/keyheads/src/tuning/slots.ts";
import { families } from "../families.ts";
import { load } from "./models.ts";

const fixtures = join(import.meta.dirname, "../fixtures");
const spec = { layers: 3, heads: 4 };

describe("names", () => {
  test("heads are read and written as layer.head", () => {
    const heads = parseHeads(" 2.1, 0.3", spec);
    expect(heads).toEqual([
      { layer: 2, head: 1 },
      { layer: 0, head: 3 },
    ]);
    expect(heads.map(formatHead)).toEqual(["2.1", "0.3"]);
    expect(parseMlps("2,0", spec)).toEqual([2, 0]);
  });

  test.each([
    ["3.0", "head 3.0 does not exist; this model has layers 0 to 2 and heads 0 to 3 in each"],
    ["0.4", "head 0.4 does not exist"],
    ["1.0,1.0", "head 1.0 is named twice"],
    ["1", '"1" is not a head'],
    ["1.-2", '"1.-2" is not a head'],
    ["1.2,", '"" is not a head'],
    ["", "the list of heads is empty"],
  ])("heads %j: %s", (text, message) => {
    expect(() => parseHeads(text, spec)).toThrow(message);
    expect(() => parseHeads(text, spec)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  test.each([
    ["3", "MLP 3 does not exist; this model has layers 0 to 2"],
    ["1,1", "MLP 1 is named twice"],
    ["1.0", '"1.0" is not a layer'],
  ])("MLPs %j: %s", (text, message) => {
    expect(() => parseMlps(text, spec)).toThrow(message);
  });
});

describe("slices", () => {
  test.each(families)(
    "%s: the stored entries of heads and MLPs are those of golden.json",
    async (name) => {
      const model = await openFolder(join(fixtures, name));
      const { masked } = JSON.parse(readFileSync(join(fixtures, name, "golden.json"), "utf8"));
      const heads = masked.heads.map(([layer, head]: number[]) => ({ layer, head }));
      const slices = selectSlices(model, { heads, mlps: masked.mlps });

      const ours = new Map<string, Set<number>>();
      for (const slice of slices) {
        const slot = model.files.slots.find((source) => slotKey(source) === slotKey(slice));
        if (!slot) throw new Error(`${slice.slot} ${slice.layer} is no slot`);
        const entries = ours.get(slot.tensor) ?? new Set();
        ours.set(slot.tensor, entries);
        for (let row = slice.rows[0]; row < slice.rows[1]; ++row) {
          for (let column = slice.columns[0]; column < slice.columns[1]; ++column) {
            const index = storedIndex(slot, row, column);
            expect(entries.has(index)).toBe(false);
            entries.add(index);
          }
        }
      }
      const golden = new Map<string, Set<number>>();
      for (const { tensor, dim, start, stop } of masked.slices) {
        const shape = model.files.tensors.get(tensor)?.shape ?? [];
        const count = shape.reduce((product, n) => product * n, 1);
        const stride = dim === undefined ? 1 : shape.slice(dim + 1).reduce((p, n) => p * n, 1);
        const entries = golden.get(tensor) ?? new Set();
        golden.set(tensor, entries);
        for (let index = 0; index < count; ++index) {
          const at = Math.floor(index / stride) % (shape[dim ?? -1] ?? count);
          if (dim === undefined || (at >= start && at < stop)) entries.add(index);
        }
      }
      expect([...ours.keys()].sort()).toEqual([...golden.keys()].sort());
      for (const [tensor, entries] of golden) {
        expect([...(ours.get(tensor) ?? [])].sort()).toEqual([...entries].sort());
      }
      expect(countParameters(slices)).toBe([...golden.values()].reduce((n, s) => n + s.size, 0));
    },
  );

  test("with grouped queries a group is selected only when asked for, and others share it", async () => {
    const model = await openFolder(join(fixtures, "llama-gqa"));
    const heads = parseHeads("1.1,1.2,2.7");
    const slots = (keyValueGroups: boolean) =>
      selectSlices(model, { heads, keyValueGroups }).map((s) => `${s.slot}.${s.layer} ${s.rows}`);
    expect(slots(false).filter((name) => /^w[kv]/.test(name))).toEqual([]);
    expect(slots(true).filter((name) => /^w[kv]/.test(name))).toEqual([
      "wk.1 0,8",
      "wv.1 0,8",
      "wk.2 8,16",
      "wv.2 8,16",
    ]);
    expect(formatHeads(sharedHeads(heads, model.spec))).toEqual([
      "1.0",
      "1.3",
      "2.4",
      "2.5",
      "2.6",
    ]);
  });

  test("everything is every stored weight once, norms and embeddings included", async () => {
    const model = await openFolder(join(fixtures, "gpt2"));
    const slices = selectSlices(model, { everything: true });
    expect(slices).toEqual(allSlices(model));
    expect(countParameters(slices)).toBe(65100);
    expect(slices.some(({ slot }) => slot === "posEmbed")).toBe(true);
    expect(slices.some(({ slot }) => slot === "finalNormBias")).toBe(true);
  });

  test("a selection that is empty or both kinds is refused", async () => {
    const model = await openFolder(join(fixtures, "gpt2"));
    expect(() => selectSlices(model, {})).toThrow("nothing is selected");
    expect(() => selectSlices(model, { everything: true, mlps: [0] })).toThrow("not both");
    expect(() => selectSlices(model, { mlps: [3] })).toThrow("MLP 3 does not exist");
  });
});

describe("wider selections", () => {
  const keys = async (name: string, selection: Selection) => {
    const model = await openFolder(join(fixtures, name));
    return selectSlices(model, selection).map(
      (slice) => `${slotKey(slice)} ${slice.rows} ${slice.columns}`,
    );
  };

  test("layers are all heads, groups and the MLP, without norms and the output's bias", async () => {
    const { spec, files } = await openFolder(join(fixtures, "llama-gqa"));
    const chosen = await keys("llama-gqa", { layers: [1] });
    const slots = chosen.map((line) => line.split(" ")[0] ?? "");
    expect([...new Set(slots)].sort()).toEqual(
      ["wDown.1", "wGate.1", "wUp.1", "wk.1", "wo.1", "wq.1", "wv.1"].sort(),
    );
    const matrices = files.slots.filter(({ slot, layer }) => layer === 1 && slot.startsWith("w"));
    expect(countParameters(selectSlices({ spec, files }, { layers: [1] }))).toBe(
      countParameters(allSlices({ spec, files: { slots: matrices } })),
    );
  });

  test("parts of a whole matrix are not selected twice", async () => {
    const heads = parseHeads("1.0,1.2");
    const whole = await keys("gpt2", { heads, matrices: ["wq.1", "finalNorm"] });
    expect(whole.filter((line) => line.startsWith("wq"))).toHaveLength(1);
    expect(whole.filter((line) => line.startsWith("wo"))).toHaveLength(2);
    expect(whole.filter((line) => line.startsWith("finalNorm.-1"))).toHaveLength(1);
    // A fused tensor of the file is three slots.
    const fused = await keys("gpt2", { matrices: ["transformer.h.1.attn.c_attn.weight"] });
    expect(fused.map((line) => line.split(" ")[0])).toEqual(["wq.1", "wk.1", "wv.1"]);
  });

  test("random heads are others than the named, the same for a seed", async () => {
    const { spec } = await openFolder(join(fixtures, "gpt2"));
    const heads = parseHeads("0.0,1.1");
    const draw = (seed: number) =>
      formatHeads(resolveSelection(spec, { heads, randomHeads: { count: 5, seed } }).heads ?? []);
    expect(new Set(draw(1)).size).toBe(7);
    expect(draw(1).slice(0, 2)).toEqual(["0.0", "1.1"]);
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(() => resolveSelection(spec, { randomHeads: { count: 99 } })).toThrow("99 random heads");
  });

  test("as JSON", () => {
    const json = { heads: "1.2", mlps: [0], layers: "1-2", matrices: ["wq.0"] };
    expect(toSelection(json)).toEqual({
      heads: [{ layer: 1, head: 2 }],
      mlps: [0],
      layers: [1, 2],
      matrices: ["wq.0"],
    });
    expect(() => toSelection({ head: "1.2" })).toThrow(/head/);
    expect(() => toSelection({ randomHeads: { count: 0 } })).toThrow("randomHeads.count");
  });
});

test("a function of the model's shape selects as an object does", async () => {
  const model = await load("llama-gqa");
  const { layers } = model.spec;
  const last = planTuning(model, { select: (shape) => ({ mlps: [shape.layers - 1] }), seed: 0 });
  expect(last).toEqual(planTuning(model, { select: { mlps: [layers - 1] }, seed: 0 }));
  expect(last.mlps).toEqual([layers - 1]);
});
