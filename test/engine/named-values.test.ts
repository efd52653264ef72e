// What a run, its captures and its edits see of one value that has several names.
import type { FloatArray } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { Intervention } from "../../packages/keyheads/src/interventions.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { ids, loadFixture } from "./fixtures.ts";

describe("values of several names", () => {
  let model: Model;
  let sequences: number[][];
  beforeAll(async () => {
    model = await loadFixture("llama-gqa");
    sequences = [5, 1, 8].map((n, i) => ids(n, model.spec.vocab, i + 1));
  });
  afterAll(() => model.dispose());
  const capture = async (names: readonly string[], edits: Intervention[] = []) =>
    (await model.forward({ sequences, captures: names.map((hook) => ({ hook })), edits })).captures;

  it("are an array of their own for every capture, though one value has several names", async () => {
    const same = [hooks.resid_post(0), hooks.resid_pre(1), hooks.resid_pre(1)];
    const [first, ...others] = await capture(same);
    const before = first?.slice();
    first?.fill(7);
    for (const other of others) expect(other).toEqual(before);
  });

  it("stay what they were when the value is edited further on", async () => {
    const [before] = await capture([hooks.resid_post(0)]);
    for (const op of ["zero", "scale"] as const) {
      const edit = { hook: hooks.resid_pre(1), op, ...(op === "scale" && { factor: 3 }) };
      const [post, pre] = await capture([hooks.resid_post(0), hooks.resid_pre(1)], [edit]);
      expect(post).toEqual(before);
      expect(pre).toEqual(before?.map((x) => (op === "zero" ? 0 : 3 * x)));
    }
    const seen: unknown[] = [];
    const run = (values: FloatArray) => {
      seen.push(values.slice());
      values.fill(2);
    };
    const [post] = await capture(
      [hooks.resid_post(0)],
      [
        { hook: hooks.resid_pre(1), run },
        { hook: hooks.resid_pre(1), run },
      ],
    );
    expect(post).toEqual(before);
    expect(seen).toEqual([before, before?.map(() => 2)]);
  });

  it("are in a run's gradient what they were before an edit", async () => {
    const site = { hook: hooks.z(0) };
    const run = async (edits: Intervention[]) =>
      (
        await model.backward({
          sequences,
          captures: [site],
          gradients: [site],
          edits,
          objective: {
            kind: "cross-entropy",
            rows: Int32Array.of(2),
            targets: Int32Array.of(3),
            weights: Float32Array.of(1),
          },
        })
      ).gradients[0] as Float32Array;
    const plain = await run([]);
    expect(plain.some((g) => g !== 0)).toBe(true);
    expect(await run([{ ...site, op: "scale", factor: 1 }])).toEqual(plain);
  });
});

describe("functions of a long run", () => {
  it("let the event loop turn", async () => {
    using model = await loadFixture("llama-gqa");
    const sequences = [ids(4, model.spec.vocab, 1)];
    let turns = 0;
    const timer = setInterval(() => ++turns, 1);
    const spin = () => {
      for (const end = performance.now() + 60; performance.now() < end; );
    };
    const layers = Array.from({ length: model.spec.layers }, (_, layer) => layer);
    await model.runWithHooks(
      sequences,
      [...layers, ...layers].map((layer) => [hooks.z(layer), spin] as const),
    );
    clearInterval(timer);
    expect(turns).toBeGreaterThanOrEqual(layers.length);
  });
});
