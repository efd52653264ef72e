import { afterAll, describe, expect, it } from "vitest";
import { readDirect } from "../../packages/keyheads/src/analysis/direct-logit.ts";
import { lens } from "../../packages/keyheads/src/analysis/lens.ts";
import { readUnembedding } from "../../packages/keyheads/src/analysis/unembedding.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { fixture, fixtures, loadPlanted, readGolden } from "../attribution/golden-items.ts";

describe.each(fixtures)("%s", (name) => {
  it("reads the last layer as the model itself does", async () => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const { items, vocab, tensor } = await readGolden(name);
    const logits = await tensor("logits_f64");
    const { layers } = await lens(model, items, { batch: 2 });
    const probabilities = items.map(({ answerId, reference }, b) => {
      const end = (b + 1) * reference.length - 1;
      const row = [...logits.subarray(end * vocab, (end + 1) * vocab)];
      const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
      return Math.exp(row[answerId] as number) / total;
    });
    const mean = probabilities.reduce((a, b) => a + b, 0) / items.length;
    expect(layers.at(-1)?.answerProb).toBeCloseTo(mean, 10);
    // C is the model's own prediction in these items.
    expect(layers.at(-1)?.answerRank).toBe(1);
    expect(layers.at(-1)?.topTokens.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(layers[0]?.answerRank).toBeGreaterThan(1);
    expect(layers[0]?.mlpIn.A).toBeNull();
  });

  it("splits the logit of C into parts that add up", async () => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const { items } = await readGolden(name);
    const { layers } = await lens(model, items);
    const parts = layers.reduce((sum, layer) => sum + layer.attnLogit + layer.mlpLogit, 0);
    // The rest is what the embedding and the final norm's bias give.
    const unembedding = await readUnembedding(model, {});
    const direct = await readDirect(model, {});
    const { captures, logits } = await model.forward({
      sequences: items.map((item) => item.reference),
      captures: [hooks.resid_pre(0), hooks.ln_final_scale()].map((hook) => {
        return { hook, positions: "end" as const };
      }),
      readout: { logits: "all" },
    });
    const { dModel, vocab, norm, logitCap } = model.spec;
    const uncapped = (logit: number) =>
      logitCap === 0 ? logit : logitCap * Math.atanh(logit / logitCap);
    const biases = model.files.slots.some(({ slot }) => slot === "unembedBias")
      ? await model.readWeight({ slot: "unembedBias", layer: -1 })
      : new Float64Array(vocab);
    const bias =
      norm === "layer"
        ? await model.readWeight({ slot: "finalNormBias", layer: -1 })
        : new Float64Array(dModel);
    const whole = items.map(({ answerId }, i) => {
      const row = (logits ?? new Float64Array())
        .subarray(i * vocab, (i + 1) * vocab)
        .map((logit, token) => uncapped(logit) - (biases[token] as number));
      return (row[answerId] as number) - [...row].reduce((a, b) => a + b, 0) / vocab;
    });
    const rest = items.map(({ answerId }, i) => {
      const row = unembedding.row(answerId);
      const embedded = captures[0]?.subarray(i * dModel, (i + 1) * dModel) as Float64Array;
      const shift = row.reduce((sum, value, d) => sum + value * (bias[d] as number), 0);
      return direct.projection(row, captures[1]?.[i] as number)(embedded) + shift;
    });
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(parts + mean(rest)).toBeCloseTo(mean(whole), 10);
  });
});

describe("the planted circuit", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());

  it("writes the answer in the MLPs that look it up", async () => {
    const { model, items } = await loading;
    const roles = { operand1: [0, 1], operand2: [2, 3] } as const;
    const all = items.items.map((item) => ({ ...item, roles }));
    const { layers, mlpPhases } = await lens(model, all);
    expect(layers.map(({ answerRank }) => answerRank === 1)).toEqual([false, false, false, true]);
    expect(layers[3]?.answerProb).toBeGreaterThan(0.9);
    expect(layers[3]?.mlpOut.C).toBeGreaterThan((layers[3]?.mlpOut.baseline as number) + 0.3);
    expect((layers[3]?.mlpLogit as number) + (layers[2]?.mlpLogit as number)).toBeGreaterThan(
      10 * Math.abs((layers[0]?.mlpLogit as number) + (layers[1]?.mlpLogit as number)),
    );
    expect(mlpPhases.start).toBeGreaterThanOrEqual(1);
    expect(mlpPhases.end).toBe(3);
    expect(layers[0]?.mlpIn.A).not.toBeNull();
  });

  it("gives the same whatever the chunks", async () => {
    const { model, items } = await loading;
    const some = items.items.slice(0, 20);
    const whole = await lens(model, some, { seed: 3 });
    const small = await lens(model, some, { seed: 3, batch: 7 });
    expect(small.layers).toEqual(whole.layers);
  });
});
