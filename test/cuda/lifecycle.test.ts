// What is true of models on a device beside their numbers: their memory, several at once, functions,
// cancellation, bfloat16, and what is refused.

import { afterEach, expect, it } from "vitest";
import { engine } from "../../packages/keyheads/src/engine.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { LoadOptions } from "../../packages/keyheads/src/model.ts";
import { ids } from "../engine/fixtures.ts";
import { describeOnDevice, expectNear, load } from "./on-both.ts";

const readout = { rows: "all", logits: "all" } as const;

describeOnDevice("a model on a device", () => {
  const open: Disposable[] = [];
  afterEach(() => {
    for (const model of open.splice(0)) model[Symbol.dispose]();
  });
  const opened = async (...given: Parameters<typeof load>) => {
    const model = await load(...given);
    open.push(model);
    return model;
  };
  const cuda = (name: string, options: LoadOptions = {}) =>
    opened(name, { device: "cuda", ...options });

  it("keeps its weights there, and gives them back", async () => {
    const host = engine().memory().weightBytes;
    const first = await cuda("llama");
    const used = () => engine().memory(false, first.handle).weightBytes;
    expect(engine().memory().weightBytes).toBe(host);
    const alone = used();
    expect(alone).toBeGreaterThanOrEqual(4 * first.parameterCount);
    const second = await cuda("gpt2");
    expect(used()).toBeGreaterThan(alone);
    second.dispose();
    expect(used()).toBe(alone);
  });

  it("is planned to the byte, and refuses what its budget does not hold", async () => {
    const model = await cuda("llama-gqa");
    const sequences = [ids(12, model.spec.vocab, 1), ids(30, model.spec.vocab, 2)];
    const captures = [{ hook: hooks.z(0) }, { hook: hooks.pattern(1) }];
    const run = { sequences, captures, readout };
    await model.forward(run);
    const plan = await model.plan({ forward: run });
    engine().memory(true, model.handle);
    await model.forward(run);
    expect(engine().memory(false, model.handle).peakBytes).toBe(plan.peakBytes);
    model.dispose();
    const small = await cuda("llama-gqa", { memoryBudget: plan.peakBytes - 1 });
    await expect(small.forward(run)).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
  });

  it("works beside others, on the device and on the CPU", async () => {
    const models = [await cuda("llama"), await cuda("gpt2"), await opened("llama", {})] as const;
    const run = (model: (typeof models)[number]) =>
      model.forward({ sequences: [ids(6, model.spec.vocab, 1)], readout });
    const together = await Promise.all(models.map(run));
    for (const [i, model] of models.entries()) {
      expect((await run(model)).logits).toEqual(together[i]?.logits);
    }
    const exact = await opened("llama", { dtype: "f64" });
    const [first, , third] = together;
    expectNear([first?.logits, third?.logits, (await run(exact)).logits], "logits");
  });

  it("shows functions its values and takes what they write", async () => {
    const models = [
      await cuda("llama"),
      await opened("llama", {}),
      await opened("llama", { dtype: "f64" }),
    ];
    const sequences = [ids(5, 50, 1), ids(3, 50, 2)];
    for (const site of [
      { hook: hooks.z(1), head: 1 },
      { hook: hooks.resid_pre(1) },
      { hook: hooks.pattern(0), head: 0, positions: "end" as const },
    ]) {
      const seen: number[] = [];
      const runs = [];
      for (const model of models) {
        const { logits } = await model.runWithHooks(sequences, [
          [
            site,
            (values) => {
              seen.push(values.length);
              for (const [i, x] of values.entries()) if (i % 3 === 0) values[i] = 0.5 * x + 0.01;
            },
          ],
        ]);
        runs.push(logits);
      }
      expect(new Set(seen).size).toBe(1);
      expectNear(runs, site.hook);
    }
  });

  it("stops when it is told to, and goes on", async () => {
    const model = await cuda("llama");
    const sequences = [ids(6, model.spec.vocab, 1)];
    const variants = Array.from({ length: 200 }, (_, i) => [
      { hook: hooks.resid_pre(0), op: "scale", factor: 1 + i } as const,
    ]);
    const stop = new AbortController();
    const run = model.sweep(
      { sequences, variants, readout: { logits: "all" }, workBytes: 1 },
      { signal: stop.signal, onProgress: () => stop.abort() },
    );
    await expect(run).rejects.toMatchObject({ code: "CANCELLED" });
    expect((await model.forward({ sequences, readout })).logits).toHaveLength(6 * model.spec.vocab);
  });

  it("has the bits of the same request again", async () => {
    const model = await cuda("gemma2");
    const sequences = [ids(9, model.spec.vocab, 1), ids(4, model.spec.vocab, 2)];
    const once = await model.forward({ sequences, readout });
    expect((await model.forward({ sequences, readout })).logits).toEqual(once.logits);
  });

  it.each(["llama", "gpt2", "gpt_neox"])("reads and writes the weights of %s", async (name) => {
    for (const dtype of ["f32", "bf16"] as const) {
      const [there, here] = [await cuda(name, { dtype }), await opened(name, { dtype })];
      for (const slot of [
        { slot: "wq", layer: 0 },
        { slot: "wDown", layer: 1 },
        { slot: "finalNorm", layer: -1 },
      ] as const) {
        const value = await there.readWeight(slot);
        expect(value, slot.slot).toEqual(await here.readWeight(slot));
        const changed = value.map((x, i) => x + 0.1 * (i % 5));
        for (const model of [there, here]) await model.writeWeight(slot, changed);
        expect(await there.readWeight(slot), slot.slot).toEqual(await here.readWeight(slot));
      }
    }
  });

  it("computes with bfloat16 weights, to their precision", async () => {
    const sequences = [ids(9, 50, 1)];
    const logits = async (options: LoadOptions) =>
      (await (await opened("llama", options)).forward({ sequences, readout })).logits ?? [];
    const there = await logits({ device: "cuda", dtype: "bf16" });
    const [here, full] = [await logits({ dtype: "bf16" }), await logits({})];
    const apart = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Math.max(...Array.from(a, (x, i) => Math.abs(x - (b[i] as number))));
    // Twice what rounding the weights does on the CPU.
    expect(apart(there, full)).toBeGreaterThan(0);
    expect(apart(there, full)).toBeLessThanOrEqual(2 * apart(here, full));
  });

  it("rounds products to TF32 when it is told to, and then only", async () => {
    const sequences = [ids(9, 50, 1)];
    const model = async (options: LoadOptions) => await opened("llama", options);
    const logits = async (loaded: Awaited<ReturnType<typeof model>>) =>
      (await loaded.forward({ sequences, readout })).logits ?? [];
    const [full, rounding] = [
      await model({ device: "cuda" }),
      await model({ device: "cuda", tf32: true }),
    ];
    const [before, rounded, after] = [
      await logits(full),
      await logits(rounding),
      await logits(full),
    ];
    const exact = await logits(await model({ dtype: "f64" }));
    const apart = (a: ArrayLike<number>) =>
      Math.max(...Array.from(a, (x, i) => Math.abs(x - (exact[i] as number))));
    expect(after).toEqual(before);
    expect([full.tf32, rounding.tf32]).toEqual([false, true]);
    // Float rounds to 24 bits, TF32 to 11: 2^13 times as far, of which depth and luck take a part.
    expect(apart(rounded)).toBeGreaterThan(50 * apart(before));
    expect(apart(rounded)).toBeLessThan(8192 * apart(before));
  });

  it("adds low-rank factors and offsets", async () => {
    const models = [
      await cuda("llama"),
      await opened("llama", {}),
      await opened("llama", { dtype: "f64" }),
    ];
    const runs = [];
    for (const model of models) {
      await model.addWeights({ slot: "wq", layer: 0, rank: 2, scale: 0.5 });
      await model.addWeights({ slot: "zOffset", layer: 1 });
      for (const slot of ["wq.loraA", "wq.loraB"] as const) {
        const value = await model.readWeight({ slot, layer: 0 });
        expect(value.every((x) => x === 0)).toBe(true);
        await model.writeWeight(
          { slot, layer: 0 },
          value.map((_, i) => 0.1 * ((i % 7) - 3)),
        );
      }
      const offset = await model.readWeight({ slot: "zOffset", layer: 1 });
      await model.writeWeight(
        { slot: "zOffset", layer: 1 },
        offset.map((_, i) => 0.02 * i),
      );
      const { logits } = await model.forward({ sequences: [ids(6, 50, 1)], readout });
      await model.removeWeights();
      runs.push(logits);
    }
    expectNear(runs, "logits");
  });

  it("has no TF32 on the CPU", async () => {
    await expect(load("llama", { tf32: true })).rejects.toMatchObject({
      code: "BAD_ARGUMENT",
      message: expect.stringContaining('the device is "cpu"'),
    });
  });

  it("is refused in float64", async () => {
    await expect(load("llama", { device: "cuda", dtype: "f64" })).rejects.toMatchObject({
      code: "BAD_ARGUMENT",
      message: expect.stringContaining("use f32 or bf16"),
    });
  });
});
