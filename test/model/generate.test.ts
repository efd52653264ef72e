import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FloatArray } from "@keyheads/native";
import { afterAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { HookFiring } from "../../packages/keyheads/src/interventions.ts";
import { resolveModel } from "../../packages/keyheads/src/load/resolve-model.ts";
import { Model } from "../../packages/keyheads/src/model.ts";

const folder = fileURLToPath(new URL("../fixtures/llama", import.meta.url));
const prompt = [34, 14, 38, 15, 8, 49];
const golden = [48, 28, 39, 26, 67, 75, 62, 60, 79, 13, 48, 85];

describe("generate", async () => {
  const model = await Model.load(folder);
  afterAll(() => model.dispose());

  it.each([true, false])("is greedy by default (cache: %s)", async (useCache) => {
    expect(await model.generate(prompt, { maxTokens: 12, useCache })).toEqual(golden);
  });
  it("stops with a stop id, each sequence for itself", async () => {
    const stopIds = [26];
    expect(await model.generate(prompt, { maxTokens: 12, stopIds })).toEqual(golden.slice(0, 4));
    const other = await model.generate([1, 2, 3], { maxTokens: 12, stopIds });
    const seen: number[][] = [[], []];
    const both = await model.generateMany([prompt, [1, 2, 3]], {
      maxTokens: 12,
      stopIds,
      onToken: (id, sequence) => seen[sequence]?.push(id),
    });
    expect(both).toEqual([golden.slice(0, 4), other]);
    expect(seen).toEqual(both);
  });
  it("gives no tokens when asked for none", async () => {
    expect(await model.generate(prompt, { maxTokens: 0 })).toEqual([]);
  });
  it("samples by seed, the same with and without a cache", async () => {
    const sample = (seed: number, useCache = true, temperature = 1) =>
      model.generate(prompt, { maxTokens: 20, temperature, seed, useCache });
    const first = await sample(1);
    expect(await sample(1)).toEqual(first);
    expect(await sample(1, false)).toEqual(first);
    expect(await sample(2)).not.toEqual(first);
    expect(await sample(1, true, 1e-4)).toEqual((await sample(1, true, 0)).slice(0, 20));
  });
  it("samples with the probabilities of softmax(logits / temperature)", async () => {
    const draws = 3000;
    const prompts = Array.from({ length: draws }, () => prompt);
    const temperature = 2;
    const sampled = await model.generateMany(prompts, { maxTokens: 1, temperature, seed: 5 });
    const counts = new Float64Array(model.spec.vocab);
    for (const [id = -1] of sampled) counts[id] = (counts[id] ?? 0) + 1;
    const { logits = new Float32Array() } = await model.forward({
      sequences: [prompt],
      readout: { logits: "all" },
    });
    const weights = [...logits].map((x) => Math.exp(x / temperature));
    const total = weights.reduce((sum, w) => sum + w, 0);
    for (const [id, weight] of weights.entries()) {
      const p = weight / total;
      const error = Math.sqrt((p * (1 - p)) / draws);
      expect(Math.abs((counts[id] as number) / draws - p)).toBeLessThan(5 * error + 1e-3);
    }
  });
  it.each(["all", "end"] as const)(
    "applies edits at %s alike with and without a cache",
    async (positions) => {
      const edits = [{ hook: hooks.z(1), op: "zero", positions } as const];
      const run = (useCache: boolean) => model.generate(prompt, { maxTokens: 12, edits, useCache });
      const found = await run(true);
      expect(found).toEqual(await run(false));
      expect(found).not.toEqual(golden);
    },
  );
  it.each([
    { positions: [3, 5, 8] },
    { steps: [0, 2] },
    { steps: [1, 2, 3], items: [1] },
    { positions: "end" as const, items: [0] },
  ])("applies %o alike with and without a cache, as edits or functions", async (where) => {
    const prompts = [prompt, [1, 2, 3, 4]];
    const site = { hook: hooks.resid_post(1), ...where };
    const run = (what: object, useCache: boolean) =>
      model.generateMany(prompts, {
        maxTokens: 8,
        useCache,
        edits: [{ ...site, ...what } as never],
      });
    const zero = { run: (x: FloatArray) => x.fill(0) };
    const found = await run({ op: "zero" }, true);
    expect(await run({ op: "zero" }, false)).toEqual(found);
    expect(await run(zero, true)).toEqual(found);
    expect(await run(zero, false)).toEqual(found);
    expect(found).not.toEqual(await model.generateMany(prompts, { maxTokens: 8 }));
  });
  it("shows functions each position once, of sequences that go on", async () => {
    const seen: number[][] = [[], []];
    const edit = {
      hook: hooks.z(0),
      run: (_: FloatArray, at: HookFiring) => {
        for (const item of [0, 1]) {
          seen[item]?.push(...at.positions.subarray(at.offsets[item], at.offsets[item + 1]));
        }
      },
    };
    const options = { maxTokens: 6, stopIds: [golden[1] as number], edits: [edit] };
    const [first = [], second = []] = await model.generateMany([prompt, [1, 2, 3]], options);
    expect(first).toEqual(golden.slice(0, 2));
    const upTo = (count: number) => Array.from({ length: count }, (_, p) => p);
    expect(seen).toEqual([upTo(6 + first.length - 1), upTo(3 + second.length - 1)]);
  });
  it("says what never fired", async () => {
    for (const where of [{ positions: [20] }, { steps: [9] }]) {
      const edits = [{ hook: hooks.z(0), op: "zero", ...where } as const];
      const run = model.generate(prompt, { maxTokens: 4, edits });
      await expect(run).rejects.toThrow(/attn.hook_z did not fire in 4 steps/);
    }
    const run = model.forward({
      sequences: [prompt],
      captures: [{ hook: hooks.z(0), steps: [0] }],
    });
    await expect(run).rejects.toThrow(/steps are of generations/);
  });
  it("refuses edits that depend on the batch, and what does not fit", async () => {
    const bad = (options: object) => expect(model.generate(prompt, options)).rejects;
    await bad({ edits: [{ hook: hooks.z(0), op: "mean" }] }).toThrow(
      /op "mean" cannot be used while generating/,
    );
    await bad({ edits: [{ hook: hooks.z(0), op: "zero", rows: Int32Array.of(0) }] }).toThrow(
      /rows cannot be used/,
    );
    await bad({ maxTokens: 124 }).toThrow(
      /124 new tokens do not fit: the context is 128 tokens \(max_position_embeddings\), which leaves 123/,
    );
    await bad({ maxTokens: 1.5 }).toThrow(/expected a count/);
    await bad({ temperature: -1 }).toThrow(/temperature -1/);
  });
  it.each([0, 1])("refuses logits that are not numbers, at temperature %s", async (temperature) => {
    const write = (value: number, positions: readonly number[]) => ({
      ...{ hook: hooks.resid_post(1), op: "set" as const, value: Float32Array.of(value) },
      positions,
    });
    // position 7 is the second new token, which step 2 reads
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const run = model.generate(prompt, { temperature, edits: [write(value, [7])] });
      await expect(run).rejects.toMatchObject({
        code: "NON_FINITE",
        message: expect.stringMatching(/sequence 0 .* step 2/),
      });
    }
    const finite = model.generate(prompt, { temperature, maxTokens: 3, edits: [write(5, [7])] });
    expect(await finite).toHaveLength(3);
  });
  it("fills the context to the last token", async () => {
    for (const useCache of [true, false]) {
      expect(await model.generate(prompt, { maxTokens: 123, useCache })).toHaveLength(123);
    }
  });
  it("is stopped by a signal", async () => {
    const controller = new AbortController();
    const onToken = () => controller.abort();
    await expect(
      model.generate(prompt, { maxTokens: 12, signal: controller.signal, onToken }),
    ).rejects.toThrow(expect.objectContaining({ code: "CANCELLED" }));
  });
});

describe("stories260K", () => {
  it("writes the story that llama2.c documents", async () => {
    const bundled = await resolveModel("stories260K");
    using model = await Model.load(bundled);
    const ids = await model.generate([1], { maxTokens: 200 });
    const text = model.needTokenizer().decode([1, ...ids]);
    const story = readFileSync(join(bundled, "expected_greedy.txt"), "utf8");
    expect(text).toBe(story);
  });
});

describe("planted", () => {
  it("solves all its problems", async () => {
    const planted = fileURLToPath(new URL("../fixtures/planted", import.meta.url));
    using model = await Model.load(planted);
    const tokenizer = model.needTokenizer();
    const problems = readFileSync(join(planted, "problems.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { prompt: string; answer_id: number });
    const { argmax } = await model.forward({
      sequences: problems.map(({ prompt: text }) => tokenizer.encode(text)),
      readout: { logits: "none", argmax: true },
    });
    expect([...(argmax ?? [])]).toEqual(problems.map(({ answer_id: id }) => id));
  });
});
