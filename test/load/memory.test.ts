// One resident copy of the weights: what loading takes, in a process of its own; files that end
// too early, or while they are read.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type Dtype, RandomModels } from "../../bench/random-llama.ts";
import { openCheckpoint } from "../../packages/keyheads/src/load/checkpoint.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { fixture } from "./variants.ts";

const random = new RandomModels();
const scratch = mkdtempSync(join(tmpdir(), "keyheads-load-"));
afterAll(() => {
  random[Symbol.dispose]();
  rmSync(scratch, { recursive: true });
});

interface Taken {
  readonly weightBytes: number;
  /** Growth of the process's largest resident size, and of its anonymous memory, in bytes. */
  readonly peak: number;
  readonly anonymous: number;
}

function loadInProcess(folder: string, dtype: "f32" | "bf16"): Taken {
  const script = fileURLToPath(new URL("load-in-process.ts", import.meta.url));
  const tsx = import.meta.resolve("tsx");
  const out = execFileSync(process.execPath, ["--import", tsx, script, folder, dtype]);
  return JSON.parse(out.toString()) as Taken;
}

describe("loading takes at most 1.1 times the weights, however they are stored:", () => {
  const shape = { width: 768, layers: 6, heads: 12, mlp: 2304, vocab: 12_000 };
  it.each([
    ["bf16", "bf16"],
    ["f32", "f32"],
    ["bf16", "f32"],
    ["f32", "bf16"],
  ] as const)("%s as %s", async (stored: Dtype, dtype) => {
    const folder = await random.write(`${stored}-as-${dtype}`, shape, stored);
    const { weightBytes, peak, anonymous } = loadInProcess(folder, dtype);
    expect(weightBytes).toBeGreaterThan(100e6);
    expect(anonymous).toBeGreaterThan(0.95 * weightBytes);
    expect(anonymous).toBeLessThan(1.1 * weightBytes);
    expect(peak).toBeLessThan(1.1 * weightBytes);
  });
});

describe("a file that is too short", () => {
  it("for its header is an error of the reader", async () => {
    const folder = cut("header", 1000);
    await expect(Model.load(folder)).rejects.toMatchObject({ code: "BAD_CHECKPOINT" });
  });
  it("since its header was read is one of the engine, which names it", async () => {
    const folder = cut("engine", 0);
    const path = join(folder, "model.safetensors");
    const { arch, spec, flags } = await blueprint(folder);
    const files = await openCheckpoint(folder, arch, spec, flags);
    truncateSync(path, statSync(path).size - 1000);
    const { engine } = await import("../../packages/keyheads/src/engine.ts");
    const request = { spec, tensors: files.slots, dtype: "f32", memoryBudget: 0 } as const;
    const loading = engine().loadModel(request, { job: 1e9 });
    await expect(loading).rejects.toThrow(/model\.safetensors: \d+ bytes wanted.*truncated/);
  });
});

function cut(name: string, bytes: number): string {
  const folder = mkdtempSync(join(scratch, `${name}-`));
  for (const file of ["config.json", "model.safetensors"]) {
    copyFileSync(join(fixture("llama"), file), join(folder, file));
  }
  const path = join(folder, "model.safetensors");
  truncateSync(path, statSync(path).size - bytes);
  return folder;
}

async function blueprint(folder: string) {
  const { readConfig } = await import("../../packages/keyheads/src/load/config.ts");
  const { readJsonObject } = await import("../../packages/keyheads/src/load/json.ts");
  const path = join(folder, "config.json");
  return readConfig(await readJsonObject(path), path);
}

it("loads a NaN as it is stored, and it reaches what depends on it, nothing else", async () => {
  const folder = cut("nan", 0);
  const path = join(folder, "model.safetensors");
  const { arch, spec, flags } = await blueprint(folder);
  const { tensors } = await openCheckpoint(folder, arch, spec, flags);
  const embed = tensors.get("model.embed_tokens.weight");
  const file = readFileSync(path);
  file.writeFloatLE(Number.NaN, embed?.offset); // of token 0
  writeFileSync(path, file);
  using damaged = await Model.load(folder);
  using whole = await Model.load(fixture("llama"));
  const run = {
    sequences: [
      [0, 1],
      [2, 3],
    ],
    readout: { logits: "all" },
  } as const;
  const [a, b] = [(await damaged.forward(run)).logits, (await whole.forward(run)).logits];
  const vocab = whole.spec.vocab;
  expect(a?.subarray(0, vocab).every(Number.isNaN)).toBe(true);
  // The unembedding is another tensor here.
  expect(a?.subarray(vocab)).toEqual(b?.subarray(vocab));
});
