// Forward and backward runs, sweeps, generation and training on a device, for every family and every
// choice, against the CPU.
import type { FloatArray } from "@keyheads/native";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { HookEdit, Model, SiteOptions } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { familyNames, ids, isPattern, isWritable, pointsOf } from "../engine/fixtures.ts";
import { choiceNames } from "../engine/random-models.ts";
import { randomSweep } from "../engine/random-variants.ts";
import { describeOnDevice, expectNear, Trio } from "./on-both.ts";

const all = { rows: "all", logits: "all", argmax: true, logsumexp: true } as const;
const sequencesOf = (model: Model) => [5, 1, 8].map((n, i) => ids(n, model.spec.vocab, i + 1));

describeOnDevice.each([...familyNames, ...choiceNames])("%s on a device", (name) => {
  let trio: Trio;
  let sequences: number[][];
  beforeAll(async () => {
    trio = await Trio.load(name);
    sequences = sequencesOf(trio.cuda);
  });
  afterAll(() => trio[Symbol.dispose]());

  it("has the same values at every hook point, logits and their summary", async () => {
    const captures = pointsOf(trio.cuda.spec).map((point) => ({ hook: point.name }));
    const runs = await trio.each((model) => model.forward({ sequences, captures, readout: all }));
    const of = <K extends "logits" | "logsumexp">(key: K) => runs.map((run) => run[key]);
    expectNear(of("logits"), "logits");
    expectNear(of("logsumexp"), "logsumexp");
    for (const [i, { hook }] of captures.entries()) {
      expectNear(
        runs.map((run) => run.captures[i]),
        hook,
      );
    }
    const { logits, argmax } = runs[0];
    const vocab = trio.cuda.spec.vocab;
    const best = Array.from(argmax ?? [], (_, row) => {
      const of = [...(logits as FloatArray).subarray(row * vocab, (row + 1) * vocab)];
      return of.indexOf(Math.max(...of));
    });
    expect([...(argmax ?? [])]).toEqual(best);
    const tokens = Int32Array.from({ length: 2 * best.length }, (_, i) => (i * 7) % vocab);
    const chosen = await trio.each((model) =>
      model.forward({ sequences, readout: { rows: "all", logits: "tokens", tokens } }),
    );
    expectNear(
      chosen.map((run) => run.logits),
      "chosen logits",
    );
  });

  it("is edited as the CPU is, and hands gradients back through the edits", async () => {
    const points = pointsOf(trio.cuda.spec).filter(isWritable);
    const random = rng(7);
    const ops = ["zero", "scale", "set", "add", "interpolate", "mean"] as const;
    for (let i = 0; i < 8; ++i) {
      const point = points[random.int(points.length)] as (typeof points)[number];
      const op = ops[random.int(isPattern(point.id) ? 5 : 6)] as (typeof ops)[number];
      const harmless = op === "zero" && /scale$/.test(point.name) ? "scale" : op;
      const edit = {
        hook: point.name,
        op: harmless,
        ...(point.heads > 0 && { head: random.int(point.heads) }),
        ...(random.int(2) === 0 && { positions: "end" as const }),
        ...(/scale|interpolate/.test(harmless) && { factor: 0.75 }),
        ...(/set|add|interpolate/.test(harmless) && { value: 0.3 }),
      } as HookEdit;
      const runs = await trio.each((model) =>
        model.forward({ sequences, edits: [edit], readout: all }),
      );
      expectNear(
        runs.map((run) => run.logits),
        `logits with ${JSON.stringify(edit)}`,
      );
      const backwards = await trio.each((model) =>
        model.backward({
          sequences,
          edits: [edit],
          gradients: [{ hook: "hook_embed" }, { hook: point.name }],
          objective: objectiveOf(model, sequences),
        }),
      );
      for (const g of [0, 1]) {
        expectNear(
          backwards.map((run) => run.gradients[g]),
          `gradient ${g} with ${JSON.stringify(edit)}`,
        );
      }
    }
  });

  it.each(["cross-entropy", "logits"] as const)("has the same gradients of %s", async (kind) => {
    const gradients: SiteOptions[] = pointsOf(trio.cuda.spec)
      .filter(isWritable)
      // These are computed another way, which excludes norms of single layers.
      .filter(({ name }) => !/attn_in|q_input|k_input|v_input/.test(name))
      .map((point) => ({ hook: point.name }));
    const runs = await trio.each((model) =>
      model.backward({ sequences, gradients, objective: objectiveOf(model, sequences, kind) }),
    );
    expectNear(
      runs.map((run) => run.perRow),
      "terms",
    );
    for (const [i, { hook }] of gradients.entries()) {
      expectNear(
        runs.map((run) => run.gradients[i]),
        `gradient at ${hook}`,
      );
    }
  });

  it.each(["none", "attention", "attention+mlp"] as const)(
    "sweeps variants with freeze %s",
    async (freeze) => {
      // Seed 0 sets whole rows to one number, of which LayerNorm makes nothing but rounding errors.
      for (const seed of [1, 2, 3]) {
        const options = randomSweep(trio.exact, freeze, rng(seed));
        const runs = await trio.each((model) => model.sweep(options));
        for (const part of ["base", "variants"] as const) {
          const of = runs.map((run) => run[part]);
          if (options.readout)
            expectNear(
              of.map((run) => run.logits),
              `seed ${seed} ${part}`,
            );
          for (const [c, { hook }] of (options.captures ?? []).entries()) {
            expectNear(
              of.map((run) => run.captures[c]),
              `seed ${seed} ${part} ${hook}`,
            );
          }
        }
      }
    },
  );

  it("generates what the CPU generates", async () => {
    const prompts = [3, 6].map((n, i) => ids(n, trio.cuda.spec.vocab, i + 4));
    const [cuda, cpu] = await trio.each((model) => model.generateMany(prompts, { maxTokens: 6 }));
    expect(cuda).toEqual(cpu);
  });

  it("takes the same steps of training, on its slices alone", async () => {
    const { dModel } = trio.cuda.spec;
    const slices = [
      { slot: "wo", layer: 1, rows: [0, dModel], columns: [1, 5] },
      { slot: "wq", layer: 0, rows: [2, 6], columns: [0, dModel] },
      { slot: "embed", layer: -1, rows: [0, 20], columns: [0, 3] },
    ] as const;
    const states = await trio.each(async (model) => {
      using trainer = await model.createTrainer(slices);
      for (let step = 0; step < 3; ++step) {
        await trainer.accumulate({ sequences, objective: objectiveOf(model, sequences) });
        await trainer.update({
          lr: 1e-3,
          beta1: 0.9,
          beta2: 0.95,
          eps: 1e-8,
          weightDecay: 0.1,
          clip: 1,
          gradientScale: 1,
        });
      }
      await trainer.write(await trainer.read());
      return { state: await trainer.read(), wo: await model.readWeight({ slot: "wo", layer: 1 }) };
    });
    for (const [i, { slot }] of slices.entries()) {
      for (const kind of ["values", "firstMoments", "secondMoments"] as const) {
        expectNear(
          states.map(({ state }) => state[kind][i]),
          `${kind} of ${slot}`,
        );
      }
    }
    expectNear(
      states.map(({ wo }) => wo),
      "wo",
    );
  });
});

function objectiveOf(
  model: Model,
  sequences: readonly (readonly number[])[],
  kind: "cross-entropy" | "logits" = "cross-entropy",
) {
  const count = sequences.flat().length;
  const numbers = Array.from({ length: count }, (_, i) => i);
  const weights = numbers.map((i) => (kind === "logits" && i % 3 === 0 ? -0.5 : 1 / count));
  return {
    kind,
    rows: Int32Array.from(numbers),
    targets: Int32Array.from(numbers, (i) => (i * 31 + 5) % model.spec.vocab),
    weights: model.dtype === "f64" ? Float64Array.from(weights) : Float32Array.from(weights),
  };
}
