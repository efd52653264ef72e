// The sweep against the naive way, one full forward with ordinary edits a variant, in float64 and
// on random variants: sets of heads and MLPs, every freeze, both kinds of positions.
import type { FloatArray } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { familyNames, ids, loadFixture } from "./fixtures.ts";
import { choiceNames } from "./random-models.ts";

interface VariantEdit {
  readonly layer: number;
  readonly head: number;
  readonly bank: number;
}

describe.each([...familyNames, ...choiceNames])("sweep of %s", (name) => {
  let model: Model;
  beforeAll(async () => {
    model = await loadFixture(name, "f64");
  });
  afterAll(() => model.dispose());

  it.each([
    ["attention", "end"],
    ["attention+mlp", "end"],
    ["none", "end"],
    ["attention", "all"],
    ["attention+mlp", "all"],
    ["none", "all"],
  ] as const)("freeze %s, positions %s equals hooked forwards", async (freeze, positions) => {
    const { layers, heads, dHead, dModel, vocab } = model.spec;
    const random = rng(freeze.length * 31 + positions.length);
    const lengths = [6, 1, 9, 4];
    const sequences = lengths.map((n, i) => ids(n, vocab, i + 1));
    const other = lengths.map((n, i) => ids(n, vocab, i + 17));
    const at = { positions };
    const all = Array.from({ length: layers }, (_, l) => l);

    const source = await model.forward({
      sequences: other,
      captures: all.flatMap((l) => [
        { hook: hooks.z(l), ...at },
        { hook: hooks.mlp_out_raw(l), ...at },
      ]),
    });
    const bankRows = positions === "end" ? lengths.length : sequences.flat().length;
    const joined = (which: 0 | 1, width: number) => {
      const out = new Float64Array(layers * bankRows * width);
      for (const l of all) {
        out.set(source.captures[2 * l + which] as FloatArray, l * bankRows * width);
      }
      return out;
    };
    const bank = { z: joined(0, heads * dHead), mlp: joined(1, dModel) };

    const variants: VariantEdit[][] = [[]];
    for (let v = 0; v < 14; v++) {
      const chosen = new Map<string, VariantEdit>();
      for (let e = 0; e <= random.int(3); e++) {
        const layer = random.int(layers);
        const head = random.int(heads + 1) - 1;
        chosen.set(`${layer}.${head}`, { layer, head, bank: random.int(2) - 1 });
      }
      variants.push([...chosen.values()]);
    }
    const flat = variants.flat();
    const starts = [0];
    for (const variant of variants) starts.push((starts.at(-1) as number) + variant.length);
    const swept = await model.sweep({
      sequences,
      banks: [bank],
      starts: Int32Array.from(starts),
      layers: Int32Array.from(flat, (e) => e.layer),
      heads: Int32Array.from(flat, (e) => e.head),
      bank: Int32Array.from(flat, (e) => e.bank),
      freeze,
      positions,
      readout: { logits: "all", argmax: true, logsumexp: true },
    });

    // The naive way: everything frozen is set to the clean run's value, then the edits are made.
    const clean = await model.forward({
      sequences,
      captures: all.flatMap((l) => [{ hook: hooks.z(l) }, { hook: hooks.mlp_out_raw(l) }]),
      readout: { logits: "all" },
    });
    expect(swept.base.logits).toEqual(clean.logits);
    const frozen: HookEdit[] = all.flatMap((l) => [
      ...(freeze === "none"
        ? []
        : [{ hook: hooks.z(l), op: "set" as const, value: clean.captures[2 * l] as FloatArray }]),
      ...(freeze === "attention+mlp"
        ? [
            {
              hook: hooks.mlp_out_raw(l),
              op: "set" as const,
              value: clean.captures[2 * l + 1] as FloatArray,
            },
          ]
        : []),
    ]);
    for (const [v, variant] of variants.entries()) {
      const edits = variant.map(({ layer, head, bank: from }): HookEdit => {
        const isMlp = head < 0;
        const width = isMlp ? dModel : heads * dHead;
        const whole = source.captures[2 * layer + (isMlp ? 1 : 0)] as FloatArray;
        const value = isMlp
          ? whole
          : Float64Array.from({ length: bankRows * dHead }, (_, i) => {
              const row = Math.floor(i / dHead);
              return whole[row * width + head * dHead + (i % dHead)] as number;
            });
        const site = isMlp
          ? { hook: hooks.mlp_out_raw(layer), ...at }
          : { hook: hooks.z(layer), head, ...at };
        return from < 0 ? { ...site, op: "zero" } : { ...site, op: "set", value };
      });
      const naive = await model.forward({
        sequences,
        edits: [...frozen, ...edits],
        readout: { logits: "all", argmax: true, logsumexp: true },
      });
      const size = lengths.length * vocab;
      const logits = (swept.variants.logits as FloatArray).subarray(v * size, (v + 1) * size);
      for (const [i, x] of (naive.logits as FloatArray).entries()) {
        // Rounding of float64 over a few hundred operations on numbers of size ten.
        expect(Math.abs(x - (logits[i] as number)), `variant ${v}, logit ${i}`).toBeLessThan(1e-11);
      }
      const n = lengths.length;
      expect(swept.variants.argmax?.subarray(v * n, (v + 1) * n)).toEqual(naive.argmax);
      for (const [i, x] of (naive.logsumexp as FloatArray).entries()) {
        expect(swept.variants.logsumexp?.[v * n + i]).toBeCloseTo(x, 10);
      }
    }
  });

  it("refuses requests that do not fit together", async () => {
    const request = {
      sequences: [[1, 2, 3]],
      banks: [],
      starts: Int32Array.of(0, 1),
      layers: Int32Array.of(0),
      heads: Int32Array.of(0),
      bank: Int32Array.of(-1),
      freeze: "attention" as const,
      positions: "end" as const,
      readout: { logits: "all" as const },
    };
    const bad = [
      { heads: Int32Array.of(model.spec.heads) },
      { layers: Int32Array.of(-1) },
      { bank: Int32Array.of(0) },
      { starts: Int32Array.of(0, 2) },
      { banks: [{ z: new Float64Array(3) }] },
      { readout: { logits: "tokens" as const, tokens: Int32Array.of(model.spec.vocab) } },
    ];
    for (const change of bad) {
      await expect(model.sweep({ ...request, ...change })).rejects.toMatchObject({
        code: "BAD_ARGUMENT",
      });
    }
  });
});
