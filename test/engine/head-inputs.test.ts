// Projections of heads that each read a copy of their own: where the copies are the same, they are
// the whole projection, bit for bit, also where heads lie across the panels that weights are packed in.
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { ids } from "./fixtures.ts";
import { bits } from "./invariance.ts";

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** The first has heads of 24 numbers in panels of 64 rows. */
const models = ["packages/models/models/arith", "test/fixtures/llama-gqa", "test/fixtures/gpt2"];

describe.each(models)("%s", (path) => {
  it.each(["f32", "bf16", "f64"] as const)("%s", async (dtype) => {
    using model = await Model.load(folder(path), { dtype });
    const { layers, vocab } = model.spec;
    const sequences = [ids(9, vocab, 1), ids(1, vocab, 2), ids(4, vocab, 3)];
    const readout = { rows: "all", logits: "all" } as const;
    const edits = Array.from({ length: layers }, (_, layer) =>
      [hooks.q_input(layer), hooks.k_input(layer), hooks.v_input(layer)].map((hook) => ({
        ...{ hook, op: "scale" as const, factor: 1 },
      })),
    ).flat();
    const plain = await model.forward({ sequences, readout });
    const apart = await model.forward({ sequences, readout, edits });
    expect(bits(apart.logits)).toBe(bits(plain.logits));
    const objective = {
      kind: "logits" as const,
      rows: Int32Array.of(8, 9, 13),
      targets: Int32Array.of(1, 2, 3),
      weights: Float64Array.of(1, -0.5, 0.25),
    };
    const gradients = [{ hook: hooks.resid_pre(0) }];
    const [whole] = (await model.backward({ sequences, objective, gradients })).gradients;
    const [summed] = (await model.backward({ sequences, objective, gradients, edits })).gradients;
    const size = whole?.reduce((most, x) => Math.max(most, Math.abs(x)), 0) ?? 0;
    expect(size).toBeGreaterThan(0);
    // bfloat16 weights round what meets them where the processor multiplies bfloat16.
    const most = { f64: 1e-12, f32: 1e-4, bf16: 0.05 }[dtype];
    whole?.forEach((x, i) => {
      expect(Math.abs(x - (summed?.[i] as number)) / size).toBeLessThan(most);
    });
  });
});
