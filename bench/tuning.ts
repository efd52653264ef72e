// One update of a model, side by side with PyTorch on the same weights and tokens, in alternating
// rounds of one run: the selected heads only (with PyTorch: gradients masked in hooks), or everything.
//
//   npx tsx bench/tuning.ts [--rounds 5] [--dtype f32|bf16] [--only precise,...] [--small]
//
// `precise` supervises every position, `last` the last 8 of each sequence with the residual below the
// lowest selected layer kept. KEYHEADS_PYTHON names a Python with torch and transformers.
// Memory is the process's resident peak during an update above what it was with the model loaded.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { AddedSlice, Slice } from "@keyheads/native";
import { loadBinding } from "@keyheads/native";
import { fixedAnswers, Model, rng, selectSlices, type Trainer } from "keyheads";
import { PrefixCache } from "../packages/keyheads/src/tuning/prefix-cache.ts";
import { trainStep } from "../packages/keyheads/src/tuning/train-step.ts";
import { findPython, median, Peer } from "./peer.ts";
import { type Dtype, RandomModels } from "./random-llama.ts";
import { alternate, ratioOf } from "./rounds.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    dtype: { type: "string", default: "f32" },
    only: { type: "string", default: "precise,last,full" },
    small: { type: "boolean", default: false },
    alone: { type: "boolean", default: false },
  },
});
const dtype = values.dtype as Dtype;
const only = values.only.split(",");
const shape = values.small
  ? { width: 256, layers: 6, heads: 4, mlp: 704, vocab: 4000 }
  : { width: 768, layers: 12, heads: 12, mlp: 2048, vocab: 32_000 };
const [sequences, length, last] = [8, 64, 8];
const lowest = values.small ? 2 : 5;
const heads = Array.from({ length: 8 }, (_, i) => ({
  layer: lowest + (i % (shape.layers - lowest)),
  head: (3 * i + 1 + Math.floor(i / (shape.layers - lowest))) % shape.heads,
}));
const request = {
  lr: 1e-5,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0,
  clip: 1,
  gradientScale: 1,
};

using models = new RandomModels();
const folder = await models.write("tuned", shape, dtype);
using model = await Model.load(folder, { dtype });
const random = rng(1);
const tokens = Int32Array.from({ length: sequences * (length + 1) }, () => random.int(shape.vocab));
const items = Array.from({ length: sequences }, (_, i) => i);
const supervise = (positions: number) =>
  fixedAnswers(tokens, { length: length + 1, promptLength: length + 1 - positions });
const sets = { all: supervise(length), last: supervise(last) };
// The first run may read matrices from their files; the second has them in memory.
for (let run = 0; run < 2; ++run) {
  await model.forward({
    sequences: [tokens.subarray(0, 1)],
    readout: { positions: "end", logits: "none", argmax: true },
  });
}
const loaded = resident("VmRSS");

const slicesOf = (method: string): readonly (Slice | AddedSlice)[] =>
  selectSlices(model, method === "full" ? { everything: true } : { heads });
const threads = loadBinding().info().threads;
const bytes: Record<string, number> = {};

/** Seconds of one update. Every method has a trainer of its own, made when it is first needed. */
let current: { method: string; trainer: Trainer; prefix: PrefixCache | undefined } | undefined;
async function ours(name: string): Promise<number> {
  const method = name === "full" ? "full" : "precise";
  if (current?.method !== name) {
    current?.trainer.dispose();
    const trainer = await model.createTrainer(slicesOf(method));
    const prefix = name === "last" ? new PrefixCache(model, sets.last, lowest) : undefined;
    current = { method: name, trainer, prefix };
    await update();
  }
  writeFileSync("/proc/self/clear_refs", "5");
  const start = performance.now();
  await update();
  const seconds = (performance.now() - start) / 1000;
  bytes[name] = resident("VmHWM") - loaded;
  return seconds;

  async function update() {
    const { trainer, prefix } = current as NonNullable<typeof current>;
    const set = name === "last" ? sets.last : sets.all;
    await trainStep(trainer, set, items, { batch: sequences, request, name, prefix });
  }
}

const contestants: Record<string, () => Promise<number>> = {};
for (const name of only) contestants[`ours ${name}`] = () => ours(name);
const python = values.alone ? undefined : findPython();
using peer = python === undefined ? undefined : new Peer(python, "torch_tuning.py");
const torchBytes: Record<string, number> = {};
if (peer) {
  const rows = items.map((item) => Array.from(tokens.subarray(65 * item, 65 * (item + 1))));
  const { ready } = await peer.ask<{ ready: string }>({
    folder,
    dtype,
    threads,
    heads: heads.map(({ layer, head }) => [layer, head]),
    tokens: rows.map((row) => row.slice(0, -1)),
    targets: rows.map((row) => row.slice(1)),
  });
  console.error(`PyTorch ${ready}, ${threads} threads each`);
  const torch = async (name: string) => {
    const method = name === "full" ? "full" : "masked";
    const supervised = name === "last" ? last : length;
    const answer = await peer.ask<{ seconds: number; bytes: number }>({
      method,
      supervised,
      lr: request.lr,
    });
    torchBytes[name] = answer.bytes;
    return answer.seconds;
  };
  for (const name of only) contestants[`torch ${name}`] = () => torch(name);
} else {
  console.error("PyTorch is not asked for, or not there (KEYHEADS_PYTHON)");
}

const seconds = await alternate(Number(values.rounds), contestants);
const results = only.map((name) => {
  const own = seconds[`ours ${name}`] as number[];
  const theirs = seconds[`torch ${name}`];
  return {
    name,
    seconds: median(own),
    bytes: bytes[name],
    ...(theirs && {
      torchSeconds: median(theirs),
      torchBytes: torchBytes[name],
      ratio: ratioOf(theirs, own),
    }),
  };
});
console.log(JSON.stringify({ shape, dtype, heads: heads.length, lowest, results }, null, 1));

function resident(key: string): number {
  const line = readFileSync("/proc/self/status", "utf8").match(new RegExp(`${key}:\\s+(\\d+)`));
  return Number(line?.[1]) * 1024;
}
