// Every hook point of every family: it fires with its shape, reading it changes nothing, writing it
// moves the logits, and its gradient is what finite differences say.
import { type FloatArray, hookTable } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CachedActivation } from "../../packages/keyheads/src/activation-cache.ts";
import type { GenerationStep } from "../../packages/keyheads/src/generate.ts";
import { hooks, parseHook } from "../../packages/keyheads/src/hooks.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import {
  familyNames,
  ids,
  isPattern,
  isWritable,
  loadFixture,
  type Point,
  pointsOf,
  requiredFamilies,
} from "./fixtures.ts";
import { choiceNames } from "./random-models.ts";

describe("the families", () => {
  it("are all here", () => expect(familyNames).toEqual(expect.arrayContaining(requiredFamilies)));
});

describe.each([...familyNames, ...choiceNames])("hooks of %s", (name) => {
  let model: Model;
  let sequences: number[][];
  let rows: number;
  let points: Point[];
  let writable: Point[];

  beforeAll(async () => {
    model = await loadFixture(name, "f64");
    sequences = [5, 1, 8].map((n, i) => ids(n, model.spec.vocab, i + 1));
    rows = sequences.flat().length;
    points = pointsOf(model.spec);
    writable = points.filter(isWritable);
  });
  afterAll(() => model.dispose());

  const logits = async (options: object = {}) => {
    const out = await model.forward({
      sequences,
      readout: { rows: "all", logits: "all" },
      ...options,
    });
    return out;
  };

  it("fires with the declared shape at every point, and reading changes no bit", async () => {
    const plain = await logits();
    for (const point of points) {
      const out = await logits({ captures: [{ hook: point.name }] });
      const expected = isPattern(point.id)
        ? sequences.reduce((sum, s) => sum + s.length ** 2, 0) * point.heads
        : rows * Math.max(point.heads, 1) * point.width;
      expect(out.captures[0]?.length, point.name).toBe(expected);
      expect(out.logits, `${point.name} changed what it read`).toEqual(plain.logits);
    }
  });

  it("gives one head's part when restricted, equal to the whole's", async () => {
    for (const point of points.filter((p) => p.heads > 1 && !isPattern(p.id))) {
      const head = point.heads - 1;
      const end = { positions: "end" as const };
      const out = await logits({
        captures: [{ hook: point.name }, { hook: point.name, head, ...end }],
      });
      const [all, part] = out.captures as [Float64Array, Float64Array];
      const expected = sequences.flatMap((_, i) => {
        const row = (out.offsets[i + 1] as number) - 1;
        const start = (row * point.heads + head) * point.width;
        return [...all.subarray(start, start + point.width)];
      });
      expect([...part], point.name).toEqual(expected);
    }
  });

  it("moves the logits when written, at every point", async () => {
    const plain = (await logits()).logits as Float64Array;
    for (const point of writable) {
      // Not a constant over a row, nor over rows: norms and softmax ignore those.
      const size = isPattern(point.id)
        ? sequences.reduce((sum, { length }) => sum + length ** 2, 0) * point.heads
        : rows * Math.max(point.heads, 1) * point.width;
      const value = Float64Array.from({ length: size }, (_, i) => Math.sin(i * i + 1));
      const out = await logits({ edits: [{ hook: point.name, op: "add", value }] });
      const moved = (out.logits as Float64Array).reduce(
        (most, x, i) => Math.max(most, Math.abs(x - (plain[i] as number))),
        0,
      );
      expect(moved, point.name).toBeGreaterThan(1e-6);
    }
  });

  it("keeps the logits when what is there is written", async () => {
    const plain = (await logits()).logits as Float64Array;
    const { captures } = await logits({ captures: writable.map((p) => ({ hook: p.name })) });
    for (const [i, point] of writable.entries()) {
      const edit = { hook: point.name, op: "set" as const, value: captures[i] as FloatArray };
      const out = (await logits({ edits: [edit] })).logits as Float64Array;
      const worst = out.reduce((m, x, k) => Math.max(m, Math.abs(x - (plain[k] as number))), 0);
      // Heads that are read one by one are summed in another order.
      expect(worst, point.name).toBeLessThan(1e-11);
    }
  });

  it("takes END to be the last row of every item", async () => {
    const rows = Int32Array.of(4, 5, 13);
    for (const point of writable) {
      const edit = { hook: point.name, op: "scale" as const, factor: 1.5 };
      const [byName, byRow, all] = await Promise.all(
        [{ positions: "end" as const }, { rows }, {}].map(async (where) => {
          const out = await logits({ edits: [{ ...edit, ...where }] });
          return out.logits as Float64Array;
        }),
      );
      expect(byName, point.name).toEqual(byRow);
      expect(byName, point.name).not.toEqual(all);
    }
  });

  it("keeps query heads and key/value groups apart", async () => {
    const { heads, kvHeads, dHead, layers } = model.spec;
    const layer = layers - 1;
    const z = { hook: hooks.z(layer) };
    const before = (await logits({ captures: [z] })).captures[0] as Float64Array;
    const changed = async (hook: string, head: number) => {
      const edits = [{ hook, head, op: "scale" as const, factor: 3 }];
      const after = (await logits({ captures: [z], edits })).captures[0] as Float64Array;
      const moved = new Set<number>();
      for (const [i, x] of after.entries()) {
        if (x !== before[i]) moved.add(Math.floor(i / dHead) % heads);
      }
      return [...moved].sort((a, b) => a - b);
    };
    const share = heads / kvHeads;
    for (const point of points.filter((p) => p.layer === layer)) {
      const { info } = parseHook(point.name, model.spec);
      if (["none", "expert"].includes(info.heads) || ["result", "attn_in"].includes(point.id))
        continue;
      const head = point.heads - 1;
      // A norm over the width of all heads mixes them.
      const mixes =
        model.spec.qkNorm === "width" && ["q", "k", "q_input", "k_input"].includes(point.id);
      const reads =
        info.heads === "query" ? [head] : Array.from({ length: share }, (_, i) => head * share + i);
      if (point.id.endsWith("_input")) {
        const close = await logits({
          edits: [{ hook: point.name, op: "scale", factor: 1 }],
          captures: [z],
        });
        before.set(close.captures[0] as Float64Array);
      }
      const moved = await changed(point.name, head);
      expect(moved, point.name).toEqual(mixes ? Array.from({ length: heads }, (_, i) => i) : reads);
      for (const beyond of [point.heads, -2]) {
        const site = { hook: point.name, head: beyond };
        await expect(logits({ captures: [site] })).rejects.toThrow(/has no head/);
      }
    }
  });

  it("leaves earlier positions and other items alone when one row is written", async () => {
    const plain = (await logits()).logits as Float64Array;
    const row = Int32Array.of(9); // position 3 of the third sequence
    for (const point of writable) {
      const edit = { hook: point.name, op: "scale" as const, factor: 1.5, rows: row };
      const out = (await logits({ edits: [edit] })).logits as Float64Array;
      const before = 9 * model.spec.vocab;
      const part = out.subarray(0, before);
      if (point.id === "result") {
        // An edited result makes attn_out a sum over heads, which rounds differently.
        expect(part.every((x, i) => Math.abs(x - (plain[i] as number)) < 1e-12)).toBe(true);
      } else {
        expect(part, point.name).toEqual(plain.subarray(0, before));
      }
    }
  });

  it("has the gradient of finite differences at every point", async () => {
    const vocab = model.spec.vocab;
    const objective = {
      kind: "logits" as const,
      rows: Int32Array.of(4, 5, 11, 13),
      targets: Int32Array.of(3, 5, 7, 11, 2, 90, 6, 40).map((t) => t % vocab),
      weights: Float64Array.of(1, -0.5, 0.3, 0.7, -0.2, 0.4, 0.9, -1.1),
    };
    for (const point of writable) {
      const site = { hook: point.name };
      const { gradients } = await model.backward({ sequences, objective, gradients: [site] });
      const gradient = gradients[0] as Float64Array;
      expect(gradient.length).toBeGreaterThan(0);
      const picks = [0.13, 0.48, 0.77, 0.95].map((x) => Math.floor(x * gradient.length));
      for (const pick of picks) {
        const at = async (step: number) => {
          const value = new Float64Array(gradient.length);
          value[pick] = step;
          const edits = [{ ...site, op: "add" as const, value }];
          return (await model.backward({ sequences, objective, gradients: [], edits })).objective;
        };
        const step = 1e-4;
        const near = (await at(step)) - (await at(-step));
        const far = (await at(2 * step)) - (await at(-2 * step));
        const numeric = (8 * near - far) / (12 * step);
        const given = gradient[pick] as number;
        const error = Math.abs(numeric - given) / Math.max(1, Math.abs(numeric));
        // Five-point differences in double: truncation ~step^4 f^(5), rounding ~1e-14 / step.
        expect(error, `${point.name}[${pick}]: ${given}, numerically ${numeric}`).toBeLessThan(
          2e-8,
        );
      }
    }
  });

  it("passes gradients through every kind of edit", async () => {
    const objective = {
      kind: "cross-entropy" as const,
      rows: Int32Array.of(2, 5, 13),
      targets: Int32Array.of(1, 2, 3),
      weights: Float64Array.of(1, 0.5, -0.25),
    };
    const value = Float64Array.from({ length: model.spec.dModel }, (_, i) => Math.cos(i));
    const upstream = { hook: "blocks.0.hook_resid_pre" };
    for (const edit of [
      { op: "zero" as const },
      { op: "set" as const, value },
      { op: "add" as const, value },
      { op: "scale" as const, factor: -0.4 },
      { op: "mean" as const },
      { op: "interpolate" as const, value, factor: 0.3 },
    ]) {
      const edits = [
        { hook: "blocks.1.hook_mlp_out", ...edit, rows: Int32Array.of(1, 2, 5, 12) },
        { hook: "blocks.1.attn.hook_z", head: 1, op: "scale" as const, factor: 0.5 },
      ];
      const run = { sequences, objective };
      const { gradients } = await model.backward({ ...run, edits, gradients: [upstream] });
      const gradient = gradients[0] as Float64Array;
      for (const pick of [3, 2 * model.spec.dModel + 1, gradient.length - 2]) {
        const at = async (step: number) => {
          const nudge = new Float64Array(gradient.length);
          nudge[pick] = step;
          const nudged = [...edits, { ...upstream, op: "add" as const, value: nudge }];
          return (await model.backward({ ...run, edits: nudged, gradients: [] })).objective;
        };
        const numeric = ((await at(1e-5)) - (await at(-1e-5))) / 2e-5;
        expect(gradient[pick], `${edit.op}[${pick}]`).toBeCloseTo(numeric, 7);
      }
    }
  });

  it("writes with every operation what it says", async () => {
    const hook = "blocks.1.hook_mlp_out";
    const width = model.spec.dModel;
    const [before] = (await logits({ captures: [{ hook }] })).captures as [Float64Array];
    const value = Float64Array.from({ length: width }, (_, i) => i / width);
    const chosen = Int32Array.of(0, 4, 9);
    const mean = (c: number) =>
      [...chosen].reduce((sum, r) => sum + (before[r * width + c] as number), 0) / chosen.length;
    const cases = [
      { edit: { op: "zero" as const }, expected: () => 0 },
      { edit: { op: "set" as const, value }, expected: (c: number) => value[c] as number },
      { edit: { op: "set" as const, value: 2.5 }, expected: () => 2.5 },
      {
        edit: { op: "add" as const, value },
        expected: (c: number, x: number) => x + (value[c] as number),
      },
      { edit: { op: "scale" as const, factor: 3 }, expected: (_: number, x: number) => 3 * x },
      { edit: { op: "mean" as const }, expected: (c: number) => mean(c) },
      {
        edit: { op: "interpolate" as const, value, factor: 0.25 },
        expected: (c: number, x: number) => 0.75 * x + 0.25 * (value[c] as number),
      },
    ];
    for (const { edit, expected } of cases) {
      const out = await logits({ edits: [{ hook, rows: chosen, ...edit }], captures: [{ hook }] });
      const after = out.captures[0] as Float64Array;
      for (const [i, x] of before.entries()) {
        const row = Math.floor(i / width);
        const want = chosen.includes(row) ? expected(i % width, x) : x;
        expect(after[i], `${edit.op} row ${row}`).toBeCloseTo(want, 12);
      }
    }
  });

  it.each([true, false])(
    "fires in every step of a generation, with the values of the whole sequence (cache: %s)",
    async (useCache) => {
      const prompts = [ids(5, model.spec.vocab, 1), ids(3, model.spec.vocab, 2)];
      const steps: GenerationStep[] = [];
      const captures = points.map(({ name: hook }) => ({ hook }));
      const onStep = (step: GenerationStep) => void steps.push(step);
      const options = { maxTokens: 4, useCache };
      const fresh = await model.generateMany(prompts, { ...options, captures, onStep });
      expect(steps.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
      const whole = prompts.map((prompt, i) => [...prompt, ...(fresh[i] ?? []).slice(0, -1)]);
      const { cache } = await model.runWithCache(whole, { readout: { logits: "none" } });
      for (const [i, { name, id }] of points.entries()) {
        for (const item of prompts.keys()) {
          const expected = cache.get(name).item(item);
          for (const { captures: kept } of steps) {
            const found = kept[i] as CachedActivation;
            const [from, to] = [found.offsets[item] as number, found.offsets[item + 1] as number];
            const view = found.item(item);
            for (const [at, p] of found.positions.subarray(from, to).entries()) {
              if (!isPattern(id)) {
                expect(view.sub(at).values, name).toEqual(expected.sub(p).values);
                continue;
              }
              const seen = view.sub(0, at).values;
              expect(seen, name).toEqual(expected.sub(0, p).values.subarray(0, seen.length));
              expect(seen.length).toBeGreaterThan(p);
            }
          }
        }
        let fired = 0;
        const run = () => void ++fired;
        const edits = isWritable(points[i] as Point) ? [{ hook: name, run }] : [];
        await model.generateMany(prompts, { ...options, edits });
        expect(fired, name).toBe(4 * edits.length);
      }
    },
  );

  it("refuses points and selections that do not exist", async () => {
    const bad = [
      { hook: hookTable.z.id, layer: model.spec.layers, head: -1 },
      { hook: hookTable.z.id, layer: 0, head: model.spec.heads },
      { hook: hookTable.resid_pre.id, layer: 0, head: 0 },
      { hook: hookTable.embed.id, layer: 0, head: -1 },
      { hook: 999, layer: 0, head: -1 },
      { hook: hookTable.z.id, layer: 0, head: -1, rows: Int32Array.of(rows) },
      { hook: hookTable.z.id, layer: 0, head: -1, rows: Int32Array.of(2, 1) },
    ];
    const { loadBinding } = await import("@keyheads/native");
    for (const site of bad) {
      const batch = model.pack(sequences);
      const call = loadBinding().forward(
        model.handle,
        { batch, captures: [site], edits: [] },
        { job: 1e6 },
      );
      await expect(call).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
    }
    const wrongSize = {
      hook: "blocks.0.attn.hook_z",
      op: "set" as const,
      value: new Float64Array(5),
    };
    await expect(logits({ edits: [wrongSize] })).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
  });
});
