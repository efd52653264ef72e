// Activations by name, layers to start and stop at, hooks that stay on a model.
import type { FloatArray } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks, listHooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { ids, loadFixture } from "../engine/fixtures.ts";
import { fixture } from "../load/variants.ts";

let model: Model;
let sequences: number[][];
beforeAll(async () => {
  model = await loadFixture("llama-gqa");
  sequences = [6, 1, 9].map((n, i) => ids(n, model.spec.vocab, i + 5));
});
afterAll(() => model.dispose());
const everyLogit = { rows: "all", logits: "all" } as const;

describe("runWithCache", () => {
  it("keeps every hook point, with the values of captures and the logits of a plain run", async () => {
    const { logits, cache } = await model.runWithCache(sequences);
    expect(cache.size).toBe(listHooks(model.spec).length);
    expect([...cache.names].sort()).toEqual(listHooks(model.spec).sort());
    expect(cache.names[0]).toBe("hook_embed");
    expect(cache.names.at(-1)).toBe("ln_final.hook_normalized");
    const captures = cache.names.map((hook) => ({ hook }));
    const plain = await model.forward({ sequences, captures, readout: everyLogit });
    expect(logits).toEqual(plain.logits);
    for (const [i, [name, activation]] of [...cache].entries()) {
      expect(activation.name).toBe(name);
      expect(activation.values, name).toEqual(plain.captures[i]);
    }
  });

  it("gives views of items, not copies, in shape", async () => {
    const { heads, kvHeads, dHead, dModel } = model.spec;
    const { cache } = await model.runWithCache(sequences);
    const z = cache.get(hooks.z(1));
    expect(z.shape).toEqual([16, heads, dHead]);
    expect(z.item(2).shape).toEqual([9, heads, dHead]);
    expect(z.item(2).values.buffer).toBe(z.values.buffer);
    expect(z.item(2).at(3, 5, 1)).toBe(z.values[((7 + 3) * heads + 5) * dHead + 1]);
    expect(z.item(2).sub(3, 5).values).toEqual(
      z.values.subarray((10 * heads + 5) * dHead, (10 * heads + 6) * dHead),
    );
    expect(cache.get(hooks.k(0)).item(0).shape).toEqual([6, kvHeads, dHead]);
    expect(cache.get(hooks.resid_pre(0)).item(1).shape).toEqual([1, dModel]);
    const pattern = cache.get(hooks.pattern(2)).item(2);
    expect(pattern.shape).toEqual([heads, 9, 9]);
    for (const [h, q] of [
      [0, 0],
      [7, 4],
    ] as const) {
      const row = pattern.sub(h, q).values;
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
      expect(row.subarray(q + 1).every((p) => p === 0)).toBe(true);
    }
    expect(() => z.item(3)).toThrow(/there is no item 3; the batch has items 0 to 2/);
    expect(() => z.item(0).at(6, 0, 0)).toThrow(/outside of shape \[6,8,8\]/);
    expect(() => z.item(0).at(0, 0)).toThrow(/does not name one number/);
  });

  it("keeps what a filter names, whichever names it uses", async () => {
    const kept = async (names: NonNullable<Parameters<Model["runWithCache"]>[1]>["names"]) =>
      (await model.runWithCache(sequences, { ...(names && { names }) })).cache.names;
    expect(await kept("blocks.1.attn.o.hook_in")).toEqual([hooks.z(1)]);
    expect(await kept(/hook_z$/g)).toEqual([hooks.z(0), hooks.z(1), hooks.z(2)]);
    expect(await kept((name) => name.startsWith("ln_final"))).toHaveLength(2);
    expect(await kept([hooks.z(2), /resid_pre/, "embed.hook_out"])).toEqual([
      hooks.embed(),
      ...[0, 1, 2].map((layer) => hooks.resid_pre(layer)),
      hooks.z(2),
    ]);
    await expect(kept(/nothing/)).rejects.toThrow(/nothing.* matches none of the/);
    await expect(kept("blocks.9.attn.hook_z")).rejects.toMatchObject({ code: "UNKNOWN_HOOK" });
    const { cache } = await model.runWithCache(sequences, { names: hooks.z(1) });
    expect(cache.get("blocks.1.attn.o.hook_in")).toBe(cache.get(hooks.z(1)));
    expect(cache.has(hooks.z(0))).toBe(false);
    expect(() => cache.get(hooks.z(0))).toThrow(/was not kept in this run, which kept 1/);
  });

  it("restricts to heads, positions and items", async () => {
    const names = [hooks.z(1), hooks.resid_mid(1), hooks.pattern(1)];
    const whole = (await model.runWithCache(sequences, { names })).cache;
    const { cache } = await model.runWithCache(sequences, {
      names,
      heads: [1, 6],
      positions: [0, 4],
      items: [0, 2],
    });
    const [z, pattern] = [cache.get(hooks.z(1)), cache.get(hooks.pattern(1))];
    expect([...z.positions]).toEqual([0, 4, 0, 4]);
    expect([...z.offsets]).toEqual([0, 2, 2, 4]);
    expect(z.item(2).shape).toEqual([2, 2, model.spec.dHead]);
    expect(pattern.item(2).shape).toEqual([2, 2, 9]);
    expect(cache.get(hooks.resid_mid(1)).item(0).shape).toEqual([2, model.spec.dModel]);
    for (const item of [0, 2]) {
      for (const [p, position] of [0, 4].entries()) {
        for (const [h, head] of [1, 6].entries()) {
          expect(z.item(item).sub(p, h).values).toEqual(
            whole.get(z.name).item(item).sub(position, head).values,
          );
          expect(pattern.item(item).sub(h, p).values).toEqual(
            whole.get(pattern.name).item(item).sub(head, position).values,
          );
        }
      }
    }
    const groups = model.runWithCache(sequences, { names: hooks.k(0), heads: [2] });
    await expect(groups).rejects.toThrow(/has no head 2: its key\/value groups are 0 to 1/);
  });

  it("refuses what the memory budget cannot hold, with the figures, before it runs", async () => {
    using small = await Model.load(fixture("llama-gqa"), { memoryBudget: 30e6 });
    const many = Array.from({ length: 60 }, () => ids(100, small.spec.vocab, 3));
    await expect(small.runWithCache(many)).rejects.toMatchObject({
      code: "OUT_OF_MEMORY",
      message: expect.stringMatching(/need \d+ bytes, \d+ are left of the budget of 30000000/),
    });
    const { cache } = await small.runWithCache(many, { names: hooks.z(0), positions: "end" });
    expect(cache.get(hooks.z(0)).shape[0]).toBe(60);
  });
});

describe.each(["gpt2", "llama-gqa", "gpt_neox", "gemma2"])("layers of %s", (name) => {
  it("can be stopped at and started from, with the bits of the whole run", async () => {
    using model = await loadFixture(name);
    const { layers, dModel, vocab } = model.spec;
    const sequences = [6, 1, 9].map((n, i) => ids(n, vocab, i + 5));
    const whole = await model.runWithCache(sequences);
    for (let layer = 0; layer <= layers; ++layer) {
      const { residual, cache } = await model.runWithCache(sequences, { stopAtLayer: layer });
      const expected = layer < layers ? hooks.resid_pre(layer) : hooks.resid_post(layers - 1);
      expect(residual, `stop at ${layer}`).toEqual(whole.cache.get(expected).values);
      for (const [hook, kept] of cache) {
        expect(kept.values, hook).toEqual(whole.cache.get(hook).values);
      }
      const options = { startAtLayer: layer, residual: residual as FloatArray };
      const rest = await model.runWithCache(sequences, options);
      expect(rest.logits, `start at ${layer}`).toEqual(whole.logits);
      expect(rest.cache.size + cache.size).toBe(whole.cache.size);
      for (const [hook, kept] of rest.cache) {
        expect(kept.values, hook).toEqual(whole.cache.get(hook).values);
      }
      const ends = await model.forward({ sequences, ...options, readout: { logits: "all" } });
      const plain = await model.forward({ sequences, readout: { logits: "all" } });
      expect(ends.logits).toEqual(plain.logits);
    }
    const middle = await model.runWithCache(sequences, { stopAtLayer: 1 });
    const part = await model.forward({
      sequences,
      startAtLayer: 1,
      residual: middle.residual as FloatArray,
      stopAtLayer: 2,
    });
    expect(part.residual).toEqual(whole.cache.get(hooks.resid_pre(2)).values);

    const gradientOf = async (range: object) => {
      const objective = {
        kind: "logits",
        rows: Int32Array.of(5, 15),
        targets: Int32Array.of(1, 2),
        weights: Float32Array.of(1, -1),
      } as const;
      const gradients = [{ hook: hooks.resid_pre(1) }];
      return (await model.backward({ sequences, objective, gradients, ...range })).gradients[0];
    };
    const start = { startAtLayer: 1, residual: middle.residual };
    const seed = await gradientOf({});
    expect(await gradientOf(start)).toEqual(seed);
    // Backward in two halves: the gradient entering layer 1 as an objective on the residual stream.
    const [embed] = (
      await model.backward({
        sequences,
        objective: {
          kind: "residual",
          rows: Int32Array.from({ length: 16 }, (_, row) => row),
          targets: new Int32Array(0),
          weights: seed as FloatArray,
        },
        gradients: [{ hook: hooks.embed() }],
        stopAtLayer: 1,
      })
    ).gradients;
    const objective = {
      kind: "logits",
      rows: Int32Array.of(5, 15),
      targets: Int32Array.of(1, 2),
      weights: Float32Array.of(1, -1),
    } as const;
    const gradients = [{ hook: hooks.embed() }];
    expect(embed).toEqual((await model.backward({ sequences, objective, gradients })).gradients[0]);
    expect(embed).toHaveLength(16 * dModel);
  });
});

describe("layers", () => {
  it.each<[string, object, RegExp]>([
    ["beyond the last", { stopAtLayer: 4 }, /layer 4: expected 0 to 3/],
    ["without a stream", { startAtLayer: 1 }, /startAtLayer and the residual stream/],
    ["with a stream of another size", { startAtLayer: 1, residual: new Float32Array(5) }, /has 5 /],
    [
      "in the wrong order",
      { startAtLayer: 2, residual: new Float32Array(16 * 64), stopAtLayer: 1 },
      /stops before layer 1 but starts at layer 2/,
    ],
    ["with logits", { stopAtLayer: 1, readout: everyLogit }, /has no logits to read/],
    ["with a capture behind", { stopAtLayer: 1, captures: [{ hook: hooks.z(1) }] }, /not computed/],
    [
      "with an edit before",
      {
        startAtLayer: 1,
        residual: new Float32Array(16 * 64),
        edits: [{ hook: hooks.embed(), op: "zero" }],
      },
      /hook_embed is not computed in this run, which starts at layer 1/,
    ],
  ])("refuse a run %s", async (_, options, message) => {
    await expect(model.forward({ sequences, ...options })).rejects.toThrow(message);
  });
});

describe("addHook", () => {
  const run = async () => (await model.runWithHooks(sequences, [])).logits;
  const edit = { op: "scale", factor: 0.5 } as const;

  it("applies to every run until it is removed", async () => {
    const plain = await run();
    const site = { hook: hooks.z(1), head: 2 };
    const expected = (await model.runWithHooks(sequences, [[site, edit]])).logits;
    const handle = model.addHook(site, edit);
    expect(await run()).toEqual(expected);
    expect(model.hooks()).toEqual([handle]);
    expect([handle.name, handle.active]).toEqual([hooks.z(1), true]);
    handle.remove();
    handle.remove();
    expect(handle.active).toBe(false);
    expect(await run()).toEqual(plain);
    {
      using same = model.addHook(site, (z) => {
        for (const [i, x] of z.entries()) z[i] = x * 0.5;
      });
      expect(same.active).toBe(true);
      expect(await run()).toEqual(expected);
    }
    expect(await run()).toEqual(plain);
    model.addHook("blocks.0.hook_in", edit);
    model.addHook(hooks.z(0), edit);
    expect(model.hooks().map(({ name }) => name)).toEqual([hooks.resid_pre(0), hooks.z(0)]);
    model.resetHooks();
    expect(await run()).toEqual(plain);
  });

  it("reaches backward runs, losses, caches and generations, before the call's own edits", async () => {
    const hook = hooks.mlp_out(1);
    const objective = {
      kind: "cross-entropy",
      rows: Int32Array.of(5),
      targets: Int32Array.of(1),
      weights: Float32Array.of(1),
    } as const;
    const all = async (edits: readonly object[]) => {
      const given = { edits: edits as never };
      using trainer = await model.createTrainer([
        { slot: "wq", layer: 0, rows: [0, 2], columns: [0, 4] },
      ]);
      return [
        (await model.backward({ sequences, objective, gradients: [], ...given })).objective,
        (await trainer.accumulate({ sequences, objective, ...given })).objective,
        (await model.runWithCache(sequences, { names: hook, ...given })).cache.get(hook).values,
        await model.generate(sequences[0] as number[], { maxTokens: 6, ...given }),
      ];
    };
    const first = { hook, op: "set" as const, value: 0.5 };
    const then = { hook, op: "scale" as const, factor: 40 };
    const expected = await all([first, then]);
    expect(await all([then])).not.toEqual(expected);
    using _ = model.addHook(hook, { op: "set", value: 0.5 });
    expect(await all([then])).toEqual(expected);
    const sweep = model.sweep({ sequences } as never);
    await expect(sweep).rejects.toThrow(/a sweep cannot apply the model's hook at blocks.1/);
  });

  it("refuses at once what no run could apply", () => {
    expect(() => model.addHook("blocks.9.hook_in", edit)).toThrow(/no layer 9/);
    expect(() => model.addHook({ hook: hooks.v(0), head: 2 }, edit)).toThrow(/groups are 0 to 1/);
    expect(() => model.addHook(hooks.z(0), { op: "set" })).toThrow(/needs a value/);
    expect(() => model.addHook(hooks.z(0), { run: 3 } as never)).toThrow(/3 is not a function/);
    const rows = Int32Array.of(0);
    expect(() => model.addHook({ hook: hooks.z(0), rows }, edit)).toThrow(/rows are of one batch/);
    expect(model.hooks()).toEqual([]);
  });
});
