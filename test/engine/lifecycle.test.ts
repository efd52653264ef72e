// Nothing that a caller does wrong, or stops, or forgets, takes the process down.

import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { loadBinding } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { Model } from "../../packages/keyheads/src/model.ts";
import { ids, loadFixture } from "./fixtures.ts";

const binding = loadBinding();

describe("the engine", () => {
  it("rejects, and does not crash, on requests of the wrong shape", async () => {
    using model = await loadFixture("gpt2");
    const batch = model.pack([[1, 2, 3]]);
    const wrong: unknown[] = [
      undefined,
      {},
      { batch: {} },
      { batch: { tokens: [1, 2], offsets: Int32Array.of(0, 2) } },
      { batch: { tokens: Int32Array.of(1), offsets: Int32Array.of(0, 5) } },
      { batch: { tokens: Int32Array.of(), offsets: Int32Array.of() } },
      { batch: { tokens: Int32Array.of(9999), offsets: Int32Array.of(0, 1) } },
      { batch: { tokens: Int32Array.of(-1), offsets: Int32Array.of(0, 1) } },
      { batch: model.pack([Array(32).fill(1)]), captures: 5 },
      { batch, captures: [{ hook: "z", layer: 0, head: 0 }] },
      { batch, edits: [{ hook: 3, layer: 0, head: -1, op: "explode" }] },
      { batch, edits: [{ hook: 3, layer: 0, head: -1, op: "set", value: [1] }] },
      { batch, readout: { rows: Int32Array.of(7), logits: "all" } },
      { batch, readout: { rows: Int32Array.of(0, 1), logits: "tokens", tokens: Int32Array.of(1) } },
      { batch, cache: 12345 },
    ];
    for (const request of wrong) {
      const call = binding.forward(model.handle, request as never, { job: 1e7 });
      await expect(call, JSON.stringify(request)).rejects.toMatchObject({
        code: expect.stringMatching(/BAD_ARGUMENT|DISPOSED/),
      });
    }
    await expect(binding.forward("x" as never, { batch } as never, { job: 1 })).rejects.toThrow();
    await expect(binding.forward(model.handle, { batch } as never, {} as never)).rejects.toThrow();
  });

  it("refuses sequences beyond the context with the figures", async () => {
    using model = await loadFixture("gpt2");
    const batch = { tokens: new Int32Array(33), offsets: Int32Array.of(0, 33) };
    const call = binding.forward(model.handle, { batch, captures: [], edits: [] }, { job: 1e7 });
    await expect(call).rejects.toThrow("33 tokens; the model's context is 32");
  });

  it("says that a model was disposed", async () => {
    const model = await loadFixture("llama");
    const { handle } = model;
    model.dispose();
    model.dispose();
    await expect(model.forward({ sequences: [[1]] })).rejects.toMatchObject({ code: "DISPOSED" });
    const batch = { tokens: Int32Array.of(1), offsets: Int32Array.of(0, 1) };
    const call = binding.forward(handle, { batch, captures: [], edits: [] }, { job: 1e7 });
    await expect(call).rejects.toMatchObject({ code: "DISPOSED" });
  });

  it("lets a call that was queued before the disposal finish", async () => {
    const model = await loadFixture("llama");
    const call = model.forward({ sequences: [[1, 2]], readout: { logits: "all" } });
    model.dispose();
    expect((await call).logits?.length).toBe(model.spec.vocab);
  });

  it("stops running and queued calls when they are aborted", async () => {
    using model = await loadFixture("llama");
    const sequences = Array.from({ length: 700 }, (_, i) => ids(120, model.spec.vocab, i));
    const stop = new AbortController();
    const running = model.forward({ sequences, signal: stop.signal });
    const queued = model.forward({ sequences, signal: stop.signal });
    const kept = model.forward({ sequences: [[1]], readout: { logits: "none", argmax: true } });
    setTimeout(() => stop.abort(), 5);
    await expect(running).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(queued).rejects.toMatchObject({ code: "CANCELLED" });
    expect((await kept).argmax?.length).toBe(1);
  });

  it("turns a memory budget into an error with figures, after which the model still works", async () => {
    const folder = fileURLToPath(new URL("../fixtures/llama", import.meta.url));
    using model = await Model.load(folder, {
      memoryBudget: binding.memory().weightBytes + binding.memory().bytes + 3e6,
    });
    const sequences = Array.from({ length: 64 }, (_, i) => ids(120, model.spec.vocab, i));
    await expect(model.forward({ sequences })).rejects.toMatchObject({
      code: "OUT_OF_MEMORY",
      message: expect.stringContaining("memory budget"),
    });
    const out = await model.forward({ sequences: [[1, 2]], readout: { logits: "all" } });
    expect(out.logits?.length).toBe(model.spec.vocab);
  });

  it("gives memory back", async () => {
    const before = binding.memory();
    for (let i = 0; i < 20; i++) {
      using model = await loadFixture("gpt2");
      await model.forward({ sequences: [[1, 2, 3]], captures: [{ hook: "blocks.0.attn.hook_z" }] });
    }
    // Disposal of the last call's tensors happens on the engine thread, before the next call.
    using model = await loadFixture("gpt2");
    await model.forward({ sequences: [[1]] });
    const after = binding.memory();
    expect(after.bytes).toBeLessThanOrEqual(before.bytes + 1e5);
    expect(after.weightBytes - before.weightBytes).toBeLessThan(2e6);
  });

  it("works in worker threads, and survives their end in the middle of a call", async () => {
    const file = fileURLToPath(
      new URL("../../native/build/Release/keyheads.node", import.meta.url),
    );
    const source = `
      const { parentPort, workerData } = require("node:worker_threads");
      const binding = require(workerData);
      parentPort.postMessage(binding.schemaHash);
      binding.forward(1, {}, { job: 1 }).catch((error) => parentPort.postMessage(error.code));
    `;
    const messages = await new Promise<unknown[]>((resolve, reject) => {
      const got: unknown[] = [];
      const worker = new Worker(source, { eval: true, workerData: file });
      worker.on("message", (m) => got.push(m));
      worker.on("error", reject);
      worker.on("exit", () => resolve(got));
    });
    expect(messages).toEqual([binding.schemaHash, "DISPOSED"]);

    using model = await loadFixture("llama");
    const slots = { spec: model.spec, tensors: model.files.slots };
    const busy = `
      const { parentPort, workerData } = require("node:worker_threads");
      const binding = require(workerData.file);
      const request = { ...workerData.slots, dtype: "f32", memoryBudget: 0 };
      binding.loadModel(request, { job: 1 }).then((model) => {
        const tokens = new Int32Array(120 * 200).fill(1);
        const offsets = Int32Array.from({ length: 201 }, (_, i) => i * 120);
        for (let i = 0; i < 4; i++) {
          binding.forward(model, { batch: { tokens, offsets }, captures: [], edits: [] },
            { job: 2 + i, onProgress() {} }).catch(() => {});
        }
        setTimeout(() => process.exit(0), 10);
      });
    `;
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve, reject) => {
        const worker = new Worker(busy, { eval: true, workerData: { file, slots } });
        worker.on("error", reject);
        worker.on("exit", () => resolve());
      });
    }
    expect((await model.forward({ sequences: [[1]] })).captures).toEqual([]);
  });

  it("keeps the cache of a generation that is under way, whatever is collected", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    using model = await loadFixture("llama");
    const prompt = ids(4, model.spec.vocab, 5);
    const plain = await model.generate(prompt, { maxTokens: 24 });
    const disturbed = await model.generate(prompt, { maxTokens: 24, onToken: collect });
    expect(disturbed).toEqual(plain);
  });

  it("continues sequences from a cache with the numbers of the whole sequence", async () => {
    for (const name of ["gpt2", "llama-gqa"] as const) {
      using model = await loadFixture(name, "f64");
      const whole = [ids(9, model.spec.vocab, 1), ids(14, model.spec.vocab, 2)];
      const cuts = [2, 5];
      const full = await model.forward({ sequences: whole, readout: { logits: "all" } });
      const cache = await binding.createCache(model.handle, 2, { job: 1e7 });
      const part = (from: (i: number) => number, to: (i: number) => number | undefined) =>
        model.pack(whole.map((s, i) => s.slice(from(i), to(i))));
      const ends = (batch: { offsets: Int32Array }) =>
        Int32Array.from(batch.offsets.subarray(1), (o) => o - 1);
      const first = part(
        () => 0,
        (i) => cuts[i],
      );
      const rest = part(
        (i) => cuts[i] as number,
        () => undefined,
      );
      const ask = { captures: [], edits: [], cache };
      await binding.forward(model.handle, { batch: first, ...ask }, { job: 1e7 });
      const out = await binding.forward(
        model.handle,
        { batch: rest, ...ask, readout: { rows: ends(rest), logits: "all" } },
        { job: 1e7 },
      );
      expect(out.logits).toEqual(full.logits);
      binding.dispose(cache);
    }
  });
});
