// Every choice of a specification against the plain decoder (reference-decoder.ts), in float64;
// gradients of every slot against finite differences; generation against whole sequences.
import { type CacheHandle, type FloatArray, loadBinding, type SlotRef } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { callEngine } from "../../packages/keyheads/src/engine.ts";
import { slotKey, slotShape } from "../../packages/keyheads/src/load/slots.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { ids } from "./fixtures.ts";
import {
  choiceNames,
  choiceSpec,
  modelOf,
  randomModel,
  readAll,
  slotsOf,
  weightsOf,
} from "./random-models.ts";
import { referenceLogits } from "./reference-decoder.ts";

const drawn = Array.from({ length: 24 }, (_, i) => `drawn ${i}`);
const sequencesFor = (vocab: number) => [7, 1, 4].map((n, i) => ids(n, vocab, i + 1));

const worst = (a: FloatArray, b: FloatArray) => {
  expect(a).toHaveLength(b.length);
  return a.reduce((most: number, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);
};

describe.each([...choiceNames, ...drawn])("%s", (name) => {
  const spec = choiceSpec(name);
  const sequences = sequencesFor(spec.vocab);

  it("computes what the plain decoder computes, and keeps its weights as they were given", async () => {
    const weights = weightsOf(name);
    using model = await randomModel(name);
    const all = { rows: "all", logits: "all" } as const;
    const { logits } = await model.forward({ sequences, readout: all });
    const expected = sequences.flatMap((tokens) => referenceLogits(spec, weights, tokens).flat());
    // Rounding of float64 over a few hundred operations on numbers of order one to ten.
    expect(worst(logits as FloatArray, Float64Array.from(expected))).toBeLessThan(1e-12);
    expect(await readAll(model)).toEqual(weights);
  });

  it("reads chosen tokens, their sum and the best as from all logits", async () => {
    using model = await randomModel(name, "f32");
    const { vocab } = spec;
    const readout = { rows: "all", logits: "all", argmax: true, logsumexp: true } as const;
    const whole = await model.forward({ sequences, readout });
    const rows = whole.argmax?.length as number;
    const tokens = Int32Array.from({ length: rows * 2 }, (_, i) => (i * 7) % vocab);
    const some = await model.forward({
      sequences,
      readout: { rows: "all", logits: "tokens", tokens },
    });
    const logits = whole.logits as FloatArray;
    const row = (i: number) => [...logits.subarray(i * vocab, (i + 1) * vocab)];
    expect([...(some.logits as FloatArray)]).toEqual(
      [...tokens].map((token, i) => row(i >> 1)[token]),
    );
    for (let i = 0; i < rows; ++i) {
      const best = Math.max(...row(i));
      expect(whole.argmax?.[i]).toBe(row(i).indexOf(best));
      const sum = row(i).reduce((total, x) => total + Math.exp(x - best), 0);
      expect(whole.logsumexp?.[i]).toBeCloseTo(best + Math.log(sum), 5);
    }
  });

  it("continues a sequence as if it had been given whole", async () => {
    using model = await randomModel(name);
    const tokens = ids(9, spec.vocab, 3);
    const logitsOf = async (sequence: number[], cache?: CacheHandle) => {
      const batch = model.pack([sequence]);
      const readout = { rows: Int32Array.of(sequence.length - 1), logits: "all" as const };
      const request = { batch, captures: [], edits: [], readout, ...(cache && { cache }) };
      const run = await callEngine((binding, control) =>
        binding.forward(model.handle, request, control),
      );
      return run.logits as FloatArray;
    };
    const cache = await callEngine((binding, control) =>
      binding.createCache(model.handle, 1, control),
    );
    for (const [start, end] of [
      [0, 4],
      [4, 5],
      [5, 9],
    ] as const) {
      const continued = await logitsOf(tokens.slice(start, end), cache);
      expect(worst(continued, await logitsOf(tokens.slice(0, end)))).toBeLessThan(1e-12);
    }
    loadBinding().dispose(cache);
  });
});

/** The gradient of a loss with respect to a whole slot. */
async function gradientOf(model: Model, ref: SlotRef, loss: LossOf): Promise<FloatArray> {
  const [rows, columns = 1] = slotShape(ref.slot, model.spec);
  using trainer = await model.createTrainer([{ ...ref, rows: [0, rows], columns: [0, columns] }]);
  await trainer.accumulate(loss);
  return (await trainer.read()).gradients[0] as FloatArray;
}
type LossOf = Parameters<Awaited<ReturnType<Model["createTrainer"]>>["accumulate"]>[0];

describe.each([...choiceNames, ...drawn.slice(0, 6)])("weight gradients: %s", (name) => {
  it("are those of finite differences in every slot", async () => {
    using model = await randomModel(name);
    const { vocab } = model.spec;
    const sequences = sequencesFor(vocab);
    const loss = {
      sequences,
      objective: {
        kind: "cross-entropy" as const,
        rows: Int32Array.of(2, 6, 7, 10, 11),
        targets: Int32Array.of(1, 2, 3, 4, 5),
        weights: Float64Array.of(1, -0.5, 0.3, 0.7, 0.2),
      },
    };
    const value = async () => (await model.backward({ ...loss, gradients: [] })).objective;
    for (const ref of slotsOf(model.spec)) {
      const gradient = await gradientOf(model, ref, loss);
      const weight = await model.readWeight(ref);
      const size = Math.max(1e-3, ...gradient.map(Math.abs));
      // The element with the largest gradient, and two others.
      const picks = [gradient.findIndex((g) => Math.abs(g) === size), 0.37, 0.83].map((x) =>
        x < 1 && x > 0 ? Math.floor(x * gradient.length) : Math.max(0, x),
      );
      for (const pick of picks) {
        const at = async (step: number) => {
          const changed = weight.slice();
          changed[pick] = (weight[pick] as number) + step;
          await model.writeWeight(ref, changed);
          return await value();
        };
        const step = 1e-4;
        const near = (await at(step)) - (await at(-step));
        const far = (await at(2 * step)) - (await at(-2 * step));
        await model.writeWeight(ref, weight);
        const numeric = (8 * near - far) / (12 * step);
        const error = Math.abs(numeric - (gradient[pick] as number)) / size;
        // Five-point differences in double: truncation ~step^4 f^(5), rounding ~1e-14 / step.
        expect(error, `${slotKey(ref)}[${pick}]`).toBeLessThan(2e-7);
      }
    }
  });
});

describe("slots", () => {
  it("that a specification has not are refused, and those that it demands are demanded", async () => {
    for (const name of choiceNames) {
      const spec = choiceSpec(name);
      const weights = weightsOf(name);
      for (const ref of slotsOf(spec).filter(({ layer }) => layer < 1)) {
        const rest = new Map([...weights].filter(([key]) => key !== slotKey(ref)));
        const optional = /^b[A-Z]|Bias$|^b[qkvo]$/.test(ref.slot);
        if (optional) {
          (await modelOf(spec, rest)).dispose();
        } else {
          await expect(modelOf(spec, rest), slotKey(ref)).rejects.toMatchObject({
            code: "BAD_CHECKPOINT",
            message: expect.stringContaining(ref.slot),
          });
        }
      }
    }
  });
  it.each([
    ["norms on both sides, caps, windows", { normPlacement: "pre" }, "attnPostNorm"],
    ["norms on both sides, caps, windows", { normPlacement: "post" }, "attnNorm"],
    ["one norm for all heads, scaled rotation", { qkNorm: "none" }, "kNorm"],
    ["one norm for all heads, scaled rotation", { tied: true }, "unembed"],
    ["one norm for all heads, scaled rotation", { gated: false }, "bGate"],
    ["learned positions with an offset", { position: "rotary" }, "posEmbed"],
    ["learned positions with an offset", { norm: "rms" }, "finalNormBias"],
    ["parallel with two norms, part of the head rotated", { sharedNorm: true }, "mlpNorm"],
  ] as const)("of %s are too many with %o", async (name, change, extra) => {
    const stored = choiceSpec(name);
    const inverseFrequencies = Float64Array.of(1);
    const spec = { ...stored, ...("position" in change && { inverseFrequencies }), ...change };
    const loading = modelOf(spec, weightsOf(name), "f64", stored);
    await expect(loading).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringContaining(extra),
    });
  });

  it.each([
    [{ sharedNorm: true, normPlacement: "post" }, /sharedNorm: there is no norm to share/],
    [{ experts: 4, expertsPerToken: 5 }, /cannot use 5 of 4 experts/],
    [{ experts: 4 }, /cannot use 0 of 4 experts/],
    [{ windows: Int32Array.of(1) }, /1 windows for 3 layers/],
    [{ attentionScales: Float64Array.of(1) }, /1 scales for 3 layers/],
  ] as const)("cannot be of %o", async (change, message) => {
    const name = "one norm for all heads, scaled rotation";
    await expect(
      modelOf({ ...choiceSpec(name), ...change }, weightsOf(name)),
    ).rejects.toMatchObject({ code: "BAD_ARGUMENT", message: expect.stringMatching(message) });
  });
});
