// Derivatives along directions: the products of a run's gradients with them, item by item.
import { describe, expect, it } from "vitest";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { ids, isPattern, isWritable, loadFixture, pointsOf } from "./fixtures.ts";

const lengths = [4, 1, 6];

describe.each(["gpt2", "llama-gqa", "mixtral"])("%s", (name) => {
  it("are products of gradients at every point that has rows of one length", async () => {
    using model = await loadFixture(name, "f64");
    const { vocab } = model.spec;
    const random = rng(3);
    const sequences = lengths.map((length, i) => ids(length, vocab, i));
    const objective = {
      kind: "logits" as const,
      rows: Int32Array.of(3, 4, 10),
      targets: Int32Array.of(3, 5, 7),
      weights: Float64Array.of(1, -0.5, 0.3),
    };
    const offsets = [0, 4, 5, 11];
    for (const point of pointsOf(model.spec).filter((p) => isWritable(p) && !isPattern(p.id))) {
      const some = point.heads > 1 ? { heads: [0, point.heads - 1] } : {};
      for (const [where, rows] of [
        [{}, offsets[3] as number],
        [{ rows: Int32Array.of(1, 2, 4, 9), ...some }, 4],
      ] as const) {
        const site = { hook: point.name, ...where };
        const [whole] = (await model.backward({ sequences, objective, gradients: [site] }))
          .gradients;
        const gradient = whole as Float64Array;
        const { width } = point;
        const heads = gradient.length / rows / width;
        const count = 3;
        const values = Float64Array.from(
          { length: count * rows * width },
          () => random.next() - 0.5,
        );
        const { gradients } = await model.backward({
          ...{ sequences, objective, directions: { values, count } },
          gradients: [{ ...site, along: [1, 3] }, site, { ...site, along: [0, 1] }],
        });
        expect(gradients[1], point.name).toEqual(gradient);
        const itemOf = (row: number) =>
          offsets.findIndex((_, i) => (site.rows?.[row] ?? row) < (offsets[i + 1] as number));
        const expected = (first: number, stop: number) => {
          const out = new Float64Array(lengths.length * heads * (stop - first));
          for (const [i, g] of gradient.entries()) {
            const [c, h] = [i % width, Math.floor(i / width) % heads];
            const row = Math.floor(i / width / heads);
            for (let v = first; v < stop; ++v) {
              const at = (itemOf(row) * heads + h) * (stop - first) + v - first;
              out[at] = (out[at] as number) + g * (values[(v * rows + row) * width + c] as number);
            }
          }
          return out;
        };
        for (const [found, want] of [
          [gradients[0], expected(1, 3)],
          [gradients[2], expected(0, 1)],
        ] as const) {
          expect(found?.length, point.name).toBe(want.length);
          const size = want.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
          want.forEach((x, i) => {
            expect(Math.abs(x - (found?.[i] as number)) / size, point.name).toBeLessThan(1e-12);
          });
        }
      }
    }
  });
});

describe("refusals", () => {
  const objective = {
    kind: "logits" as const,
    rows: Int32Array.of(1),
    targets: Int32Array.of(0),
    weights: Float64Array.of(1),
  };
  const run = { sequences: [[1, 2]], objective };
  it.each([
    [[0, 3], 2, /along \[0, 3\) of 2 directions/],
    [[1, 1], 2, /along \[1, 1\) of 2 directions/],
    [[0, 1], 3, /directions: \d+ numbers, but 3 directions of 2 rows/],
  ] as const)("along %s of %d", async (along, count, message) => {
    using model = await loadFixture("gpt2", "f64");
    const directions = { values: new Float64Array(2 * 2 * model.spec.dModel), count };
    const gradients = [{ hook: "blocks.0.hook_resid_pre", along }];
    await expect(model.backward({ ...run, gradients, directions })).rejects.toThrow(message);
  });
  it("patterns, and along without directions", async () => {
    using model = await loadFixture("gpt2", "f64");
    const pattern = { hook: "blocks.0.attn.hook_pattern", along: [0, 1] as const };
    const directions = { values: new Float64Array(4), count: 1 };
    await expect(model.backward({ ...run, gradients: [pattern], directions })).rejects.toThrow(
      /no derivatives along directions/,
    );
    await expect(model.backward({ ...run, gradients: [pattern] })).rejects.toThrow(
      /there are no directions/,
    );
  });
});
