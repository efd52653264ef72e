import { describe, expect, it } from "vitest";
import { contributions } from "../../packages/keyheads/src/analysis/contributions.ts";
import { headCircuits } from "../../packages/keyheads/src/analysis/head-circuits.ts";
import { lens } from "../../packages/keyheads/src/analysis/lens.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { fixture, readGolden } from "../attribution/golden-items.ts";

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

// Without biases, so that sums are whole: plain, grouped queries, norms on both sides, a window.
describe.each(["llama", "llama-gqa", "gemma2", "mistral"])(
  "direct logit attribution of %s",
  (name) => {
    it("adds up: neurons to MLPs, heads to attention, all to the logit", async () => {
      using model = await Model.load(fixture(name), { dtype: "f64" });
      const { items } = await readGolden(name);
      const { layers, dMlp, vocab } = model.spec;
      const result = await contributions(model, items, {
        neurons: layers * dMlp,
        draws: 10,
        batch: 2,
      });
      const byLayer = await lens(model, items);
      for (const [layer, { attnLogit, mlpLogit }] of byLayer.layers.entries()) {
        expect(sum(result.heads[layer] as number[]), `attention ${layer}`).toBeCloseTo(
          attnLogit,
          9,
        );
        expect(result.mlps[layer], `mlp ${layer}`).toBeCloseTo(mlpLogit, 9);
        const own = result.neurons.filter((neuron) => neuron.layer === layer);
        expect(own).toHaveLength(dMlp);
        expect(sum(own.map(({ logit }) => logit.mean)), `neurons ${layer}`).toBeCloseTo(
          mlpLogit,
          9,
        );
      }
      expect(result.biases).toBeCloseTo(0, 9);
      const sizes = result.neurons.map(({ logit }) => Math.abs(logit.mean));
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
      if (name === "gemma2") return; // its cap bends the logits
      const sequences = items.map(({ reference }) => reference);
      const { logits } = await model.forward({ sequences, readout: { logits: "all" } });
      const above = items.map(({ answerId }, i) => {
        const row = Array.from(logits?.subarray(i * vocab, (i + 1) * vocab) ?? []);
        return (row[answerId] as number) - sum(row) / vocab;
      });
      expect(result.total).toBeCloseTo(sum(above) / items.length, 9);
    });
  },
);

describe("single neurons and heads", () => {
  it("a neuron promotes what the model itself reads in its output weights", async () => {
    using model = await Model.load(fixture("llama"), { dtype: "f64" });
    const { items } = await readGolden("llama");
    const { neurons } = await contributions(model, items, { neurons: 4, layers: [1], tokens: 3 });
    expect(neurons.map(({ layer }) => layer)).toEqual([1, 1, 1, 1]);
    const { layers, dMlp } = model.spec;
    const weights = await model.readWeight({ slot: "wDown", layer: 1 });
    for (const { neuron, promotes, suppresses } of neurons) {
      const value = Float64Array.from(
        { length: weights.length / dMlp },
        (_, row) => 100 * (weights[row * dMlp + neuron] as number),
      );
      const hook = hooks.resid_post(layers - 1);
      const { argmax } = await model.forward({
        sequences: [[0]],
        edits: [{ hook, op: "set", value }],
        readout: { logits: "none", argmax: true },
      });
      expect(promotes[0]).toBe(`#${argmax?.[0]}`);
      expect(new Set([...promotes, ...suppresses]).size).toBe(6);
    }
  });

  it("refuses what does not exist", async () => {
    using model = await Model.load(fixture("llama"));
    const { items } = await readGolden("llama");
    await expect(contributions(model, [])).rejects.toThrow(/no items/);
    await expect(contributions(model, items, { layers: [3] })).rejects.toThrow(
      /there is no layer 3/,
    );
    await expect(headCircuits(model, items)).rejects.toThrow(/no item names a role/);
    using mixture = await Model.load(fixture("mixtral"));
    const golden = await readGolden("mixtral");
    await expect(contributions(mixture, golden.items)).rejects.toThrow(/mixture of experts/);
    expect((await contributions(mixture, golden.items, { neurons: 0 })).neurons).toEqual([]);
  });
});

describe.each(["llama-gqa", "gemma2"])("QK and OV of %s", (name) => {
  it("are what heads do when all attention goes to a role", async () => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const { items } = await readGolden(name);
    const some = items.map((item) => ({
      ...item,
      roles: { here: [4, 5] as const, there: [7, 8] as const },
    }));
    const { heads: count, kvHeads, dHead, dModel, layers } = model.spec;
    const layer = layers - 1;
    const heads = [1, 2].map((head) => ({ layer, head }));
    const result = await headCircuits(model, some, { heads, draws: 10, batch: 2 });
    const sequences = some.map(({ reference }) => reference);
    const length = sequences[0]?.length as number;
    const { captures } = await model.forward({
      sequences,
      captures: [
        { hook: hooks.attn_scores(layer), positions: "end" },
        { hook: hooks.v(layer) },
        { hook: hooks.ln_final_scale(), positions: "end" },
      ],
    });
    const [scores, values, scale] = captures as [Float64Array, Float64Array, Float64Array];
    for (const [h, { head }] of heads.entries()) {
      const means = some.map((_, i) => {
        const from = (i * count + head) * length;
        const row = scores.subarray(from, from + length);
        return (row[4] as number) - sum([...row]) / length;
      });
      const role = result.heads[h]?.roles.here;
      expect(role?.score.mean).toBeCloseTo(sum(means) / means.length, 9);

      // The head's z at END becomes the value at the role; what it then adds is read directly.
      const group = Math.floor(head / (count / kvHeads));
      const z = new Float64Array(some.length * dHead);
      for (let i = 0; i < some.length; ++i) {
        const from = ((i * length + 4) * kvHeads + group) * dHead;
        z.set(values.subarray(from, from + dHead), i * dHead);
      }
      const edits = [
        { hook: hooks.z(layer), head, positions: "end" as const, op: "set" as const, value: z },
      ];
      const site = { hook: hooks.result(layer), head, positions: "end" as const };
      const post =
        name === "gemma2" ? [{ hook: hooks.ln1_post_scale(layer), positions: "end" as const }] : [];
      const plain = await model.forward({ sequences, captures: post });
      const run = await model.forward({ sequences, edits, captures: [site] });
      const added = run.captures[0] as Float64Array;
      const gain = await model.readWeight({ slot: "finalNorm", layer: -1 });
      const after =
        post.length > 0 ? await model.readWeight({ slot: "attnPostNorm", layer }) : undefined;
      const rows = await model.readWeight({
        slot: model.spec.tied ? "embed" : "unembed",
        layer: -1,
      });
      const one = model.spec.normPlusOne ? 1 : 0;
      const vocab = rows.length / dModel;
      const logits = some.map(({ answerId }, i) => {
        let total = 0;
        for (let d = 0; d < dModel; ++d) {
          let mean = 0;
          for (let t = 0; t < vocab; ++t) mean += (rows[t * dModel + d] as number) / vocab;
          const u = (rows[answerId * dModel + d] as number) - mean;
          const norm = after
            ? (one + (after[d] as number)) / (plain.captures[0]?.[i] as number)
            : 1;
          total +=
            (u * (one + (gain[d] as number)) * norm * (added[i * dModel + d] as number)) /
            (scale[i] as number);
        }
        return total;
      });
      expect(role?.toAnswer.mean).toBeCloseTo(sum(logits) / logits.length, 9);
      expect(role?.copyRank).toBeGreaterThanOrEqual(1);
      expect(role?.copyRank).toBeLessThanOrEqual(result.tokens);
    }
    // |W_V W_O| the long way round.
    const [wo, wv] = await Promise.all(
      (["wo", "wv"] as const).map((slot) => model.readWeight({ slot, layer })),
    );
    const group = Math.floor(1 / (count / kvHeads));
    let square = 0;
    for (let out = 0; out < dModel; ++out) {
      for (let into = 0; into < dModel; ++into) {
        let cell = 0;
        for (let i = 0; i < dHead; ++i) {
          cell +=
            (wo?.[out * count * dHead + dHead + i] as number) *
            (wv?.[(group * dHead + i) * dModel + into] as number);
        }
        square += cell * cell;
      }
    }
    expect(result.heads[0]?.ovNorm).toBeCloseTo(Math.sqrt(square), 9);
  });
});
