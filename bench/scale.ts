// What models and long sequences take of this machine's memory, and whether it is given back.
// Prints one JSON object; exits with 1 where a bound is exceeded.
//
//   node --expose-gc --import tsx bench/scale.ts [--gigabytes 1] [--dtype f32|bf16] [--stored f32|bf16] [--runs 1000]
//
// weights     anonymous memory of a process that loads a random model and runs it: at most 1.1 times the weights
// leaks       memory after `runs` rounds of cached, differentiated, hooked and generating runs and of
//             loads, against that after half of them: nothing more in the engine, at most 1 MB in
//             JavaScript, and at most 8 MB (what allocators keep) in the process
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadBinding } from "@keyheads/native";
import { Model } from "keyheads";
import { type Dtype, RandomModels, type Shape } from "./random-llama.ts";

const { values: flags } = parseArgs({
  options: {
    gigabytes: { type: "string", default: "1" },
    dtype: { type: "string", default: "f32" },
    stored: { type: "string" },
    runs: { type: "string", default: "1000" },
  },
});
const dtype = flags.dtype as Dtype;
const stored = (flags.stored ?? dtype) as Dtype;
const small: Shape = { width: 64, layers: 2, heads: 4, mlp: 160, vocab: 500 };
using models = new RandomModels();

const leaks = await measureLeaks(await models.write("small", small, stored), Number(flags.runs));
const weights = await measureWeights(Number(flags.gigabytes) * 1e9);
console.log(JSON.stringify({ dtype, stored, leaks, weights }, null, 1));
if (leaks.leaks || weights.ratio > 1.1) process.exitCode = 1;

function anonymous(): number {
  const [, kB] = /RssAnon:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return 1024 * Number(kB);
}

async function measureLeaks(folder: string, runs: number) {
  using model = await Model.load(folder, { dtype });
  const sequences = [[1, 2, 3, 4, 5, 6, 7, 8], [9], [10, 11, 12]];
  const objective = {
    kind: "cross-entropy" as const,
    rows: Int32Array.of(7, 8, 11),
    targets: Int32Array.of(1, 2, 3),
    weights: Float32Array.of(1, 1, 1),
  };
  const once = async () => {
    await model.runWithCache(sequences);
    await model.backward({ sequences, objective, gradients: [{ hook: "hook_embed" }] });
    await model.generate([1, 2, 3], { maxTokens: 4 });
    await model.runWithHooks(sequences, [["blocks.1.hook_resid_pre", (x) => x.fill(0)]]);
    (await Model.load(folder, { dtype })).dispose();
  };
  const half = Math.ceil(runs / 2);
  for (let i = 0; i < half; ++i) await once();
  const before = await idle();
  for (let i = half; i < runs; ++i) await once();
  const after = await idle();
  const grown = {
    process: after.process - before.process,
    javascript: after.javascript - before.javascript,
    engine: after.engine - before.engine,
  };
  const leaks = grown.process > 8e6 || grown.javascript > 1e6 || grown.engine !== 0;
  return { runs, after, grown, leaks };
}

/** Bytes once garbage is collected and the engine has nothing left to do. */
async function idle() {
  for (let i = 0; i < 3; ++i) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const { weightBytes, bytes } = loadBinding().memory();
  return {
    process: anonymous(),
    javascript: heapUsed + arrayBuffers,
    engine: weightBytes + bytes,
  };
}

/** LLaMA's proportions, in as many layers of width 2,048 as the bytes need. */
async function measureWeights(bytes: number) {
  const perNumber = dtype === "f32" ? 4 : 2;
  const layer = 4 * 2048 ** 2 + 3 * 2048 * 5632;
  const layers = Math.max(1, Math.round((bytes / perNumber - 2 * 2048 * 8000) / layer));
  const shape: Shape = { width: 2048, layers, heads: 16, mlp: 5632, vocab: 8000 };
  const folder = await models.write("large", shape, stored);
  const before = anonymous();
  using model = await Model.load(folder, { dtype });
  const loaded = anonymous() - before;
  // Weights are read when they are used, and packed by the second run.
  const run = {
    sequences: [Array.from({ length: 64 }, (_, i) => i)],
    readout: { logits: "all" as const },
  };
  const seconds: number[] = [];
  for (let i = 0; i < 3; ++i) {
    const begun = performance.now();
    await model.forward(run);
    seconds.push((performance.now() - begun) / 1000);
  }
  await idle();
  const resident = anonymous() - before;
  const { weightBytes } = loadBinding().memory();
  const ratio = resident / weightBytes;
  return { layers, weightBytes, loaded, anonymous: resident, ratio, seconds };
}
