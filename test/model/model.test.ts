import { cpSync, mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { resolveModel } from "../../packages/keyheads/src/load/resolve-model.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { wholeSlice } from "../../packages/keyheads/src/tuning/slots.ts";
import { bundledModels } from "../../packages/models/src/index.ts";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const fixture = (name: string) => at(`../fixtures/${name}`);
const temporary = mkdtempSync(join(tmpdir(), "keyheads-model-"));
afterAll(() => rmSync(temporary, { recursive: true }));
const withCode = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe("Model.load", () => {
  it("says what it loaded", async () => {
    using model = await Model.load(fixture("llama-gqa"));
    expect(model).toMatchObject({
      name: "llama-gqa",
      architecture: "llama",
      dtype: "f32",
      device: "cpu",
      parameterCount: 66048,
      tokenizer: undefined,
    });
    expect(model.config).toMatchObject({ model_type: "llama" });
  });
  it("counts fused tensors once", async () => {
    using model = await Model.load(fixture("gpt2"));
    expect(model.parameterCount).toBe(65100);
  });
  it("refuses a device that is not there", async () => {
    await expect(Model.load(fixture("gpt2"), { device: "cuda" })).rejects.toThrow(
      withCode("NO_DEVICE", /no CUDA device: .+; use "cpu"/),
    );
  });
  it("refuses truncated weights", async () => {
    const folder = join(temporary, "truncated");
    cpSync(fixture("llama"), folder, { recursive: true });
    truncateSync(join(folder, "model.safetensors"), 100_000);
    await expect(Model.load(folder)).rejects.toThrow(withCode("BAD_CHECKPOINT", /truncated/));
  });
  it("refuses a folder without config.json", async () => {
    await expect(Model.load(temporary)).rejects.toThrow(
      withCode("BAD_CHECKPOINT", /cannot read .*config.json/),
    );
  });
  it("names the missing tokenizer and the remedy", async () => {
    using model = await Model.load(fixture("llama"));
    expect(() => model.needTokenizer()).toThrow(
      withCode("NO_TOKENIZER", /no tokenizer.json; copy it/),
    );
    const folder = join(temporary, "sentencepiece");
    cpSync(fixture("llama"), folder, { recursive: true });
    cpSync(join(fixture("llama"), "config.json"), join(folder, "tokenizer.model"));
    using other = await Model.load(folder);
    expect(() => other.needTokenizer()).toThrow(
      /it has tokenizer.model, which is not read. Make it with transformers: python -c/,
    );
    using planted = await Model.load(fixture("planted"));
    expect(planted.needTokenizer().encode("7*8=")).toHaveLength(4);
  });
  it("keeps to a memory budget", async () => {
    await expect(Model.load(fixture("gpt2"), { memoryBudget: 1000 })).rejects.toThrow(
      expect.objectContaining({ code: "OUT_OF_MEMORY" }),
    );
  });
});

describe("resolveModel", () => {
  it("takes folders and bundled names", async () => {
    expect(await resolveModel(fixture("gpt2"))).toBe(fixture("gpt2"));
    const [first] = bundledModels;
    expect(await resolveModel(first?.name ?? "")).toBe(first?.folder);
  });
  it("lists the bundled names otherwise", async () => {
    await expect(resolveModel("mathgpt")).rejects.toThrow(
      withCode("USAGE", /mathgpt_add3_h4_l4, .*stories260K/),
    );
    await expect(resolveModel(join(fixture("gpt2"), "config.json"))).rejects.toThrow(/is a file/);
  });
});

describe("forward", async () => {
  const model = await Model.load(fixture("llama-gqa"), { dtype: "f64" });
  afterAll(() => model.dispose());
  const sequences = [
    [5, 9, 2, 30],
    [7, 1],
  ];
  const { heads, dHead } = model.spec;
  const z = hooks.z(1);
  const capture = async (edits: Parameters<typeof model.forward>[0]["edits"] = []) => {
    const { captures } = await model.forward({ sequences, captures: [{ hook: z }], edits });
    return captures[0] as Float64Array;
  };
  const pick = (values: Float64Array, wanted: (row: number, head: number) => boolean) =>
    values.filter((_, i) => wanted(Math.floor(i / (heads * dHead)), Math.floor(i / dHead) % heads));

  it("captures heads and rows", async () => {
    const whole = await capture();
    const { captures } = await model.forward({
      sequences,
      captures: [
        { hook: z, head: 3 },
        { hook: z, positions: "end" },
        { hook: z, head: 3, rows: Int32Array.of(1, 5) },
      ],
    });
    expect(captures[0]).toEqual(pick(whole, (_, head) => head === 3));
    expect(captures[1]).toEqual(pick(whole, (row) => row === 3 || row === 5));
    expect(captures[2]).toEqual(pick(whole, (row, head) => head === 3 && (row === 1 || row === 5)));
  });
  it("gives pattern rows of chosen queries", async () => {
    const pattern = { hook: hooks.pattern(2), head: 1 };
    const { captures } = await model.forward({
      sequences,
      captures: [pattern, { ...pattern, positions: "end" }],
    });
    const [whole, end] = captures as [Float64Array, Float64Array];
    expect(whole).toHaveLength(4 * 4 + 2 * 2);
    expect([...end]).toEqual([...whole.subarray(12, 16), ...whole.subarray(18, 20)]);
    expect(end.slice(0, 4).reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 12);
  });
  it("applies every operation as defined, in order", async () => {
    const before = await capture();
    const row = Float64Array.from({ length: dHead }, (_, i) => i);
    const inHead = (i: number) => Math.floor(i / dHead) % heads === 2;
    const site = { hook: z, head: 2 };
    const expectHead = async (
      edits: Parameters<typeof capture>[0],
      value: (x: number, e: number, i: number) => number,
    ) => {
      const after = await capture(edits);
      const expected = before.map((x, i) => (inHead(i) ? value(x, i % dHead, i) : x));
      for (const [i, x] of after.entries()) expect(x).toBeCloseTo(expected[i] as number, 12);
    };
    await expectHead([{ ...site, op: "zero" }], () => 0);
    await expectHead([{ ...site, op: "set", value: row }], (_, e) => e);
    await expectHead([{ ...site, op: "set", value: 4 }], () => 4);
    await expectHead([{ ...site, op: "add", value: row }], (x, e) => x + e);
    await expectHead([{ ...site, op: "scale", factor: -2 }], (x) => -2 * x);
    await expectHead(
      [{ ...site, op: "interpolate", factor: 0.25, value: row }],
      (x, e) => 0.75 * x + 0.25 * e,
    );
    await expectHead(
      [
        { ...site, op: "add", value: 1 },
        { ...site, op: "scale", factor: 3 },
      ],
      (x) => 3 * (x + 1),
    );
    const mean = (e: number) =>
      pick(before, (_, head) => head === 2).reduce(
        (sum, x, i) => sum + (i % dHead === e ? x / 6 : 0),
        0,
      );
    await expectHead([{ ...site, op: "mean" }], (_, e) => mean(e));
    await expectHead([{ ...site, op: "zero", rows: Int32Array.of(4) }], (x, _, i) =>
      Math.floor(i / (heads * dHead)) === 4 ? 0 : x,
    );
  });
  it("gives the logits asked for, and the right argmax and logsumexp", async () => {
    const all = await model.forward({ sequences, readout: { rows: "all", logits: "all" } });
    const logits = all.logits as Float64Array;
    const { vocab } = model.spec;
    const some = await model.forward({
      sequences,
      readout: {
        rows: Int32Array.of(0, 5),
        logits: "tokens",
        tokens: Int32Array.of(7, 8, 9, 10),
        argmax: true,
        logsumexp: true,
      },
    });
    expect([...(some.logits as Float64Array)]).toEqual(
      [7, 8, 5 * vocab + 9, 5 * vocab + 10].map((i) => logits[i]),
    );
    for (const [i, row] of [0, 5].entries()) {
      const scores = logits.subarray(row * vocab, (row + 1) * vocab);
      const top = Math.max(...scores);
      expect(scores[some.argmax?.[i] as number]).toBe(top);
      const sum = scores.reduce((total, x) => total + Math.exp(x - top), 0);
      expect(some.logsumexp?.[i]).toBeCloseTo(top + Math.log(sum), 10);
    }
    const end = await model.forward({ sequences, readout: { logits: "none", argmax: true } });
    expect(end.argmax).toHaveLength(2);
    expect(end.logits).toBeUndefined();
    expect([...end.offsets]).toEqual([0, 4, 6]);
  });
  it("refuses bad input before it reaches the engine", async () => {
    await expect(model.forward({ sequences: [[1], [200]] })).rejects.toThrow(
      withCode("BAD_ARGUMENT", /sequence 1, position 0: token id 200/),
    );
    await expect(
      model.forward({ sequences, captures: [{ hook: "blocks.9.attn.hook_z" }] }),
    ).rejects.toThrow(withCode("UNKNOWN_HOOK", /no layer 9/));
    const value = new Float64Array(3);
    await expect(
      model.forward({ sequences, edits: [{ hook: z, op: "set", value }] }),
    ).rejects.toThrow(expect.objectContaining({ code: "BAD_ARGUMENT" }));
  });
  it("rejects with the caller's stack", async () => {
    const error = await model
      .readWeight({ slot: "bq", layer: 0 })
      .catch((cause: Error) => cause as Error);
    expect((error as Error).name).toBe("KeyheadsError");
    expect((error as Error).stack).toContain("model.test.ts");
  });
});

describe("lifetime", () => {
  it("ends with dispose, for models and trainers", async () => {
    const model = await Model.load(fixture("gpt2"));
    const trainer = await model.createTrainer([wholeSlice({ slot: "wo", layer: 0 }, model.spec)]);
    trainer.dispose();
    await expect(trainer.read()).rejects.toThrow(withCode("DISPOSED", /the trainer was disposed/));
    model.dispose();
    model.dispose();
    await expect(model.forward({ sequences: [[1]] })).rejects.toThrow(
      withCode("DISPOSED", /the model gpt2/),
    );
  });
  it("does not begin an aborted call and stops a running one", async () => {
    using model = await Model.load(fixture("gpt2"));
    const aborted = AbortSignal.abort();
    await expect(model.forward({ sequences: [[1]], signal: aborted })).rejects.toThrow(
      withCode("CANCELLED", /before it began/),
    );
    const controller = new AbortController();
    const sequences = Array.from({ length: 2000 }, () => Array.from({ length: 32 }, (_, i) => i));
    const run = model.forward({ sequences, signal: controller.signal });
    controller.abort();
    await expect(run).rejects.toThrow(expect.objectContaining({ code: "CANCELLED" }));
    expect((await model.forward({ sequences: [[1]] })).offsets).toHaveLength(2);
  });
});

describe("weights", () => {
  it("are read and written as [out, in], whatever the file's layout", async () => {
    using model = await Model.load(fixture("gpt2"), { dtype: "f64" });
    const ref = { slot: "wk", layer: 1 } as const;
    const before = await model.readWeight(ref);
    expect(before).toHaveLength(48 * 48);
    const forward = () =>
      model.forward({ sequences: [[1, 2, 3]], captures: [{ hook: hooks.k(1) }] });
    const k = (await forward()).captures[0] as Float64Array;
    await model.writeWeight(
      ref,
      before.map((x) => 2 * x),
    );
    const bias = await model.readWeight({ slot: "bk", layer: 1 });
    const doubled = (await forward()).captures[0] as Float64Array;
    for (const [i, x] of doubled.entries()) {
      expect(x).toBeCloseTo(2 * (k[i] as number) - (bias[i % 48] as number), 10);
    }
    await model.writeWeight(ref, before);
    expect((await forward()).captures[0]).toEqual(k);
    await expect(model.writeWeight(ref, new Float64Array(5))).rejects.toThrow(
      expect.objectContaining({ code: "BAD_ARGUMENT" }),
    );
  });
});
