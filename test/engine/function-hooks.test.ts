// JavaScript functions at hook points: what they see, what they may do, and how they may fail.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { FloatArray } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { HookFiring } from "../../packages/keyheads/src/interventions.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { ids, isPattern, loadFixture, pointsOf } from "./fixtures.ts";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("function hooks", () => {
  let model: Model;
  let sequences: number[][];
  beforeAll(async () => {
    model = await loadFixture("llama-gqa");
    sequences = [5, 1, 8].map((n, i) => ids(n, model.spec.vocab, i + 1));
  });
  afterAll(() => model.dispose());
  const plain = async () => await model.runWithHooks(sequences, []);

  it("see what captures give, at every point, with items and positions", async () => {
    const points = pointsOf(model.spec);
    const { captures } = await model.forward({
      sequences,
      captures: points.map(({ name }) => ({ hook: name })),
    });
    for (const [i, point] of points.entries()) {
      let seen: FloatArray | undefined;
      let at: HookFiring | undefined;
      const shapes: (readonly number[])[] = [];
      const out = await model.runWithHooks(sequences, [
        [
          point.name,
          (values, firing) => {
            seen = values.slice();
            at = firing;
            shapes.push(...sequences.map((_, item) => firing.item(item).shape));
          },
        ],
      ]);
      expect(seen, point.name).toEqual(captures[i]);
      expect(at).toMatchObject({ name: point.name, hook: point.id, layer: point.layer });
      expect([...(at?.offsets ?? [])]).toEqual([0, 5, 6, 14]);
      expect([...(at?.positions ?? [])]).toEqual([0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
      const axis = point.heads > 0 ? [point.heads] : [];
      const expected = isPattern(point.id)
        ? sequences.map((s) => [...axis, s.length, s.length])
        : sequences.map((s) => [s.length, ...axis, point.width]);
      expect(shapes, point.name).toEqual(expected);
      if (["result", "attn_in", "q_input", "k_input", "v_input"].includes(point.id)) continue;
      // Those compute attention another way once they may be changed.
      expect(out.logits, `${point.name} read only`).toEqual((await plain()).logits);
    }
  });

  it("do what the same edit as data does, in place or with new values, async or not", async () => {
    const site = { hook: hooks.z(1), head: 3, positions: [0], items: [0, 2] };
    const data = await model.runWithHooks(sequences, [[site, { op: "scale", factor: 2 }]]);
    const double = (x: FloatArray) => {
      for (const [i, v] of x.entries()) x[i] = 2 * v;
    };
    const ways = [
      double,
      (x: FloatArray) => x.map((v) => 2 * v),
      (x: FloatArray) => Float64Array.from(x, (v) => 2 * v),
      async (x: FloatArray) => {
        await sleep(2);
        double(x);
      },
      async (x: FloatArray) => {
        const given = x.map((v) => 2 * v);
        await sleep(2);
        return given;
      },
    ];
    for (const way of ways) {
      const out = await model.runWithHooks(sequences, [[site, way]]);
      expect(out.logits).toEqual(data.logits);
    }
    expect(data.logits).not.toEqual((await plain()).logits);
  });

  it("apply in order, between data edits", async () => {
    const hook = hooks.mlp_out(0);
    const seen: number[] = [];
    await model.runWithHooks(sequences, [
      [hook, { op: "set", value: 2 }],
      [hook, (x) => void seen.push(x[0] as number)],
      [hook, { op: "scale", factor: 3 }],
      [hook, (x) => void seen.push(x[0] as number, x.length)],
    ]);
    expect(seen).toEqual([2, 6, 14 * model.spec.dModel]);
  });

  it("may write what is not finite", async () => {
    const out = await model.runWithHooks(sequences, [[hooks.resid_post(0), (x) => x.fill(NaN)]]);
    expect(out.logits?.every((x) => Number.isNaN(x))).toBe(true);
  });

  it("work on large values too, which are not copied", async () => {
    const many = Array.from({ length: 40 }, (_, i) => ids(90, model.spec.vocab, i));
    const site = { hook: hooks.resid_pre(1) };
    const readout = { logits: "all" } as const;
    const data = await model.runWithHooks(many, [[site, { op: "scale", factor: 0.5 }]], {
      readout,
    });
    let kept: FloatArray | undefined;
    const halve = (x: FloatArray) => {
      kept = x;
      for (let i = 0; i < x.length; ++i) x[i] = 0.5 * (x[i] as number);
    };
    const out = await model.runWithHooks(many, [[site, halve]], { readout });
    expect(out.logits).toEqual(data.logits);
    expect(kept?.length).toBe(0);
  });

  it("hold arrays that are gone when they end", async () => {
    const kept: FloatArray[] = [];
    await model.runWithHooks(sequences, [
      [hooks.z(0), (x) => void kept.push(x, x.subarray(2, 5))],
      [
        hooks.z(1),
        async (x, at) => {
          kept.push(x, at.item(1).values);
          await sleep(2);
          expect(x.length).toBeGreaterThan(0);
        },
      ],
    ]);
    expect(kept.map((x) => x.length)).toEqual([0, 0, 0, 0]);
  });

  it("reject the run with the very error that they throw", async () => {
    const error = new TypeError("mine", { cause: "a cause" });
    const ways = [
      () => {
        throw error;
      },
      async () => {
        await sleep(1);
        throw error;
      },
      () => Promise.reject(error),
    ];
    for (const way of ways) {
      const run = model.runWithHooks(sequences, [[hooks.z(0), way]]);
      await expect(run).rejects.toBe(error);
      expect(error.cause).toBe("a cause");
    }
    const nothing = model.runWithHooks(sequences, [[hooks.z(0), () => Promise.reject(undefined)]]);
    await expect(nothing).rejects.toBeUndefined();
    await plain(); // the engine goes on
  });

  it("name the shapes when they give values of another size or kind", async () => {
    const give = (value: unknown) => model.runWithHooks(sequences, [[hooks.z(0), () => value]]);
    await expect(give(new Float32Array(5))).rejects.toThrow(
      /blocks.0.attn.hook_z gave 5 values; expected 896, of shape \[14,8,8\]/,
    );
    await expect(give([1, 2])).rejects.toThrow(/gave Array; expected nothing, or a Float32Array/);
    await expect(give(3)).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
    const away = model.runWithHooks(sequences, [
      [hooks.z(0), (x) => void structuredClone(x, { transfer: [x.buffer as ArrayBuffer] })],
    ]);
    await expect(away).rejects.toThrow(/gave its array away/);
  });

  it("cannot call the engine that waits for them, whichever model it is", async () => {
    using other = await loadFixture("gpt2");
    for (const wait of [false, true]) {
      const codes: unknown[] = [];
      const note = (call: Promise<unknown>) =>
        call.catch((error: { code: string }) => void codes.push(error.code));
      await model.runWithHooks(sequences, [
        [
          hooks.z(0),
          async () => {
            if (wait) await sleep(1);
            await note(model.forward({ sequences }));
            await note(other.generate([1, 2]));
            await note(model.sweep({} as never));
          },
        ],
      ]);
      expect(codes.slice(0, 2)).toEqual(["ENGINE_BUSY", "ENGINE_BUSY"]);
    }
    // What is called outside of the hook meanwhile waits for its turn.
    let queued: Promise<unknown> = Promise.resolve();
    const run = model.runWithHooks(sequences, [[hooks.z(0), () => sleep(20)]]);
    await sleep(5);
    queued = other.forward({ sequences: [[1]], readout: { logits: "none", argmax: true } });
    await run;
    expect(await queued).toMatchObject({ argmax: expect.any(Int32Array) });
  });

  it("are left by an abort, at once, however long they take", async () => {
    const stop = new AbortController();
    let kept: FloatArray | undefined;
    const run = model.forward({
      sequences,
      edits: [
        {
          hook: hooks.z(0),
          run: (x) => {
            kept = x;
            return new Promise(() => undefined);
          },
        },
      ],
      signal: stop.signal,
    });
    setTimeout(() => stop.abort(), 10);
    await expect(run).rejects.toMatchObject({ code: "CANCELLED" });
    expect(kept?.length).toBe(0);
    await plain();
  });

  it("follow each other at once, also after promises, where the engine is back at once", async () => {
    const order: number[] = [];
    const sites = Array.from({ length: 200 }, (_, n) => {
      // every fiftieth goes through the event loop, and those after it come from there
      const late = () => sleep(1).then(() => void order.push(n));
      const run = n % 50 === 25 ? late : () => void order.push(n);
      return [{ hook: hooks.z(1), head: 0, rows: Int32Array.of(0) }, run] as const;
    });
    const start = performance.now();
    await model.runWithHooks(sequences, sites);
    // one that had to wait until this thread looked into the event loop would take 50 ms
    expect(performance.now() - start).toBeLessThan(2000);
    expect(order).toEqual(sites.map((_, n) => n));
  });

  it("leave the event loop its turn, however long they and their run take", async () => {
    let turns = 0;
    let turn = setImmediate(function count() {
      ++turns;
      turn = setImmediate(count);
    });
    const busy = () => {
      const end = performance.now() + 30;
      while (performance.now() < end);
    };
    const points = pointsOf(model.spec).filter(({ id }) => id === "z" || id === "resid_pre");
    await model.runWithHooks(
      sequences,
      [...points, ...points].map(({ name }) => [name, busy] as const),
    );
    clearImmediate(turn);
    expect(points.length).toBeGreaterThan(3);
    expect(turns).toBeGreaterThan(1);
  });

  it("do not mark what runs after an abort", async () => {
    const stop = new AbortController();
    const run = () => new Promise(() => undefined);
    const aborted = model.forward({
      sequences,
      edits: [{ hook: hooks.z(0), run }],
      signal: stop.signal,
    });
    setTimeout(() => stop.abort(), 5);
    await expect(aborted).rejects.toMatchObject({ code: "CANCELLED" });
    const fromProgress: Promise<unknown>[] = [];
    const onProgress = () => void fromProgress.push(model.forward({ sequences: [[1]] }));
    await model.forward({ sequences, onProgress });
    expect(fromProgress.length).toBeGreaterThan(0);
    await Promise.all(fromProgress);
  });

  it("must fire: points that a run does not pass are errors", async () => {
    const site = { hook: hooks.z(2) };
    const run = model.runWithHooks(sequences, [[site, () => undefined]], { stopAtLayer: 2 });
    await expect(run).rejects.toThrow(/attn.hook_z of layer 2 is not computed in this run/);
    const nowhere = { hook: hooks.z(0), positions: [6] };
    await expect(model.runWithHooks(sequences, [[nowhere, () => undefined]])).rejects.toThrow(
      /item 0 has no position 6, it has 5 tokens; restrict items/,
    );
  });

  it("fire in backward runs, where they cut, keep or pass the gradient", async () => {
    using wide = await loadFixture("llama-gqa", "f64");
    const objective = {
      kind: "logits",
      rows: Int32Array.of(4, 13),
      targets: Int32Array.of(3, 5),
      weights: Float64Array.of(1, -0.5),
    } as const;
    const hook = hooks.resid_pre(1);
    const at = async (run: (x: FloatArray) => unknown, gradient?: "unchanged" | "pass") => {
      const edit = { hook, run, ...(gradient && { gradient }) };
      const gradients = [{ hook: hooks.resid_post(0) }, { hook }];
      const out = await wide.backward({ sequences, objective, edits: [edit], gradients });
      return out.gradients as [FloatArray, FloatArray];
    };
    const [, whole] = await at(() => undefined);
    expect((await at(() => undefined))[0]).toEqual(whole);
    const [changed, flows] = await at((x) => {
      for (let i = 0; i < x.length; i += 2) x[i] = (x[i] as number) + 1;
    });
    expect(changed).toEqual(flows.map((g, i) => (i % 2 ? g : 0)));
    const [cut] = await at((x) => x.slice());
    expect(cut.every((g) => g === 0)).toBe(true);
    const [passed, after] = await at((x) => x.map((v) => v + 1), "pass");
    expect(passed).toEqual(after);
    expect(after.some((g) => g !== 0)).toBe(true);
  });

  it("do not keep a worker, or the process, from ending", async () => {
    const source = `
      const { parentPort, workerData } = require("node:worker_threads");
      import(workerData.module).then(async ({ Model }) => {
        const model = await Model.load(workerData.folder);
        const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        const run = {
          exit: () => process.exit(0),
          exitLater: () => wait(5).then(() => process.exit(0)),
          never: () => { parentPort.postMessage("in"); return new Promise(() => {}); },
          busy: () => { parentPort.postMessage("in"); for (;;); },
          again: () => undefined,
        }[workerData.way];
        const edits = [{ hook: "blocks.0.hook_in", run }, { hook: "blocks.1.hook_in", run }];
        const forward = () => model.forward({ sequences: [[1, 2]], edits });
        if (workerData.way !== "again") return forward().catch(() => {});
        parentPort.postMessage("in");
        for (;;) await forward();
      });
    `;
    const root = new URL("../../", import.meta.url);
    const workerData = {
      module: new URL("packages/keyheads/dist/index.js", root).href,
      folder: fileURLToPath(new URL("test/fixtures/gpt2", root)),
    };
    const again = Array.from({ length: 8 }, () => "again");
    for (const [i, way] of ["exit", "exitLater", "never", "busy", ...again].entries()) {
      const worker = new Worker(source, { eval: true, workerData: { ...workerData, way } });
      const ended = new Promise((resolve, reject) => {
        worker.on("exit", resolve);
        worker.on("error", reject);
      });
      worker.on("message", () => setTimeout(() => void worker.terminate(), 5 + (3 * i) / 2));
      await ended;
    }
    await plain();

    const { module, folder } = workerData;
    const exits = `
      const { Model } = await import(${JSON.stringify(module)});
      const model = await Model.load(${JSON.stringify(folder)});
      const run = () => process.exit(7);
      await model.forward({ sequences: [[1, 2]], edits: [{ hook: "blocks.0.hook_in", run }] });
    `;
    const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", exits]);
    expect(status).toBe(7);
  });
});
