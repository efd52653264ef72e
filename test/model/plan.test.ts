// The memory plan of a run against what the run then takes, and the budget that refuses by it.
import type { MemoryPlan } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { engine } from "../../packages/keyheads/src/engine.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { fixture } from "../load/variants.ts";

const kept: unknown[] = []; // what JavaScript lets go would be taken off what a run is measured at
/** Bytes of the engine's account at the largest, beside what was there before. */
async function measured(run: () => Promise<unknown>): Promise<number> {
  const before = engine().memory(true);
  kept.push(await run());
  return engine().memory().peakBytes - before.bytes - before.weightBytes;
}
const sequences = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => Array.from({ length }, (_, t) => (i + 3 * t) % 50));
const batch = sequences(5, 16);
const objective = {
  kind: "cross-entropy",
  rows: Int32Array.from({ length: 40 }, (_, i) => i),
  targets: new Int32Array(40).fill(1),
  weights: new Float32Array(40).fill(1),
} as const;
const captures = [0, 1].flatMap((layer) => [
  { hook: hooks.z(layer) },
  { hook: hooks.pattern(layer) },
]);
const edits = [{ hook: hooks.resid_pre(1), op: "scale", factor: 2 } as const];

const forwardRuns = {
  "a plain run": { sequences: batch },
  "captures and edits": { sequences: batch, captures, edits },
  "one sequence and a summary": {
    sequences: sequences(1, 17),
    readout: { rows: "all", logits: "none", argmax: true },
  },
  "a run that stops": {
    sequences: sequences(40, 9),
    captures: [{ hook: hooks.z(0) }],
    stopAtLayer: 1,
  },
} as const;

// The plan runs the same code, so that a dense model's is the run's to the byte; logits are handed
// over outside of the account.
describe.each(["gpt2", "llama-gqa", "gemma2", "gpt_neox"])(
  "%s: a plan is what is taken by",
  (name) => {
    it.each(Object.entries(forwardRuns))("%s", async (_, options) => {
      using model = await Model.load(fixture(name));
      const plan = await model.plan({ forward: options });
      const taken = await measured(() => model.forward(options));
      const summary = "readout" in options ? 17 * 4 : 0;
      expect(taken).toBeLessThanOrEqual(plan.runBytes);
      expect(taken).toBeGreaterThanOrEqual(plan.runBytes - summary);
      expect(plan.peakBytes).toBe(plan.weightBytes + plan.inUseBytes + plan.runBytes);
      expect(plan.weightBytes).toBe(engine().memory().weightBytes);
    });
    it("a backward run, and training", async () => {
      using model = await Model.load(fixture(name), { dtype: "bf16" });
      const options = { sequences: batch, objective, gradients: [{ hook: hooks.z(0) }] };
      const { runBytes } = await model.plan({ backward: options });
      expect(await measured(() => model.backward(options))).toBe(runBytes);
      const slices = [
        { slot: "wq", layer: 1, rows: [0, 8], columns: [0, model.spec.dModel] } as const,
        { slot: "finalNorm", layer: -1, rows: [0, 5], columns: [0, 1] } as const,
      ];
      const making = await model.plan({ trainer: slices });
      let taken = 0;
      using trainer = await (async () => {
        const before = engine().memory(true);
        const made = await model.createTrainer(slices);
        taken = engine().memory().peakBytes - before.bytes - before.weightBytes;
        return made;
      })();
      expect(making.runBytes).toBe(taken);
      const start = await trainer.read();
      const step = await trainer.plan({ sequences: batch, objective });
      expect(await trainer.read()).toEqual(start); // planning changes no gradient
      expect(await measured(() => trainer.accumulate({ sequences: batch, objective }))).toBe(
        step.runBytes,
      );
    });
    it("a sweep", async () => {
      using model = await Model.load(fixture(name));
      const { layers, heads } = model.spec;
      for (const freeze of ["none", "attention"] as const) {
        for (const positions of ["end", "all"] as const) {
          const options = {
            sequences: batch,
            variants: Array.from({ length: layers * heads }, (_, i) => {
              const hook = hooks.z(Math.floor(i / heads));
              return [{ hook, head: i % heads, positions, op: "zero" as const }];
            }),
            freeze,
            readout: { logits: "all" },
          } as const;
          const plan = await model.plan({ sweep: options });
          // Of the base run's logits a second copy, which is not in the engine's account.
          const logits = batch.length * model.spec.vocab * 4;
          const taken = await measured(() => model.sweep(options));
          expect(plan.runBytes).toBeGreaterThanOrEqual(taken);
          expect(plan.runBytes).toBeLessThan(1.1 * taken + 2 * logits);
        }
      }
    });
  },
);

it("of a mixture of experts allows for any routing", async () => {
  using model = await Model.load(fixture("mixtral"));
  const { runBytes } = await model.plan({ forward: { sequences: batch } });
  const taken = await measured(() => model.forward({ sequences: batch }));
  expect(runBytes).toBeGreaterThanOrEqual(taken);
  expect(runBytes).toBeLessThan(2 * taken);
});

describe("a budget", () => {
  const options = { sequences: batch, captures };
  async function planned(): Promise<MemoryPlan> {
    using model = await Model.load(fixture("llama"));
    return await model.plan({ forward: options });
  }
  it("refuses a run before it begins, with the plan's figures and what to do", async () => {
    const { peakBytes, runBytes } = await planned();
    const memoryBudget = peakBytes - 1;
    using model = await Model.load(fixture("llama"), { memoryBudget });
    const before = engine().memory(true);
    const refused = model.forward(options);
    await expect(refused).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
    await expect(refused).rejects.toThrow(
      new RegExp(
        `budget of ${memoryBudget} bytes is not enough: \\d+ needed.* ${runBytes} for this call.*fewer captures.*--memory-budget`,
      ),
    );
    expect(engine().memory().peakBytes).toBe(before.bytes + before.weightBytes);
  });
  it("lets what fits through", async () => {
    const { peakBytes } = await planned();
    using model = await Model.load(fixture("llama"), { memoryBudget: peakBytes + (1 << 20) });
    expect((await model.forward(options)).captures).toHaveLength(4);
  });
  it("refuses to load, from the headers of the files", async () => {
    const before = engine().memory(true);
    await expect(Model.load(fixture("llama"), { memoryBudget: 10_000 })).rejects.toThrow(
      /memory budget of 10000 bytes is not enough: \d+ needed, \d+ for weights/,
    );
    expect(engine().memory().peakBytes).toBe(before.bytes + before.weightBytes);
  });
});
